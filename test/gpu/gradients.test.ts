// Every op's vjp against central differences of its own forward. Independent of the oracles: it also sees a forward and a
// backward that agree with their formulas but not with each other.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { attention, rotary, rotaryTable } from "../../src/tensor/ops/attention.ts";
import { add, dropout, gelu, scale, siluGate } from "../../src/tensor/ops/elementwise.ts";
import { embedding, Ids } from "../../src/tensor/ops/embedding.ts";
import { crossEntropy } from "../../src/tensor/ops/loss.ts";
import { norm } from "../../src/tensor/ops/norm.ts";
import { matmul } from "../../src/tensor/ops/products.ts";
import { Tape } from "../../src/tensor/tape.ts";
import { constant, sizeOf, type Tensor } from "../../src/tensor/tensor.ts";
import { backendUnderTest, closeBackend } from "./harness.ts";
import { normal } from "./oracle/random.ts";

type Op = (tape: Tape, inputs: Tensor[]) => Tensor | Promise<Tensor>;

/** Half-width of the differences: a power of two near the cube root of f32's precision, where noise and truncation meet. */
const h = 2 ** -7;
/** What an output may be off by, relative to 1 + |y|: these ops add up at most ten terms of magnitude about one, and their
 *  inputs are rounded too. */
const noise = 16 * 2 ** -24;

/** Compares d(sum of c y)/d(each input) along random directions u with (f(x + h u) - f(x - h u)) / 2h, f summed in f64. */
async function checkGradients(op: Op, shapes: readonly (readonly number[])[]): Promise<void> {
  const backend = await backendUnderTest();
  const inputs = shapes.map((shape, index) => normal(sizeOf(shape), { seed: 100 + index, deviation: 0.7 }));
  const withTape = async <T>(
    values: Float32Array[],
    recording: boolean,
    use: (tape: Tape, xs: Tensor[], y: Tensor) => Promise<T>,
  ) => {
    const tape = new Tape(backend, { recording });
    const held = values.map((data, index) => constant(backend, { shape: shapes[index], data, purpose: "weights" }));
    try {
      const views = held.map((x) => tape.view(x, { requiresGrad: true }));
      return await use(tape, views, await op(tape, views));
    } finally {
      tape.dispose();
      for (const x of held) x.dispose();
    }
  };
  const forward = (values: Float32Array[]) =>
    withTape(values, false, async (_tape, _xs, y) => (await y.read()) as Float32Array);

  const y = await forward(inputs);
  const c = normal(y.length, { seed: 7 });
  const gradients = await withTape(inputs, true, async (tape, xs, output) => {
    const seed = tape.input(c, { shape: output.shape });
    await tape.backward(output, seed);
    return Promise.all(xs.map(async (x) => (await tape.gradient(x)?.read()) as Float32Array));
  });
  assert.is(backend.memory.total, 0, "the tape gave everything back");

  for (const [index, shape] of shapes.entries()) {
    for (let direction = 0; direction < 2; direction++) {
      const u = normal(sizeOf(shape), { seed: 1000 + 10 * index + direction });
      const along = async (step: number) => {
        const moved = inputs.slice();
        moved[index] = inputs[index].map((value, i) => value + step * u[i]);
        return (await forward(moved)).reduce((sum, value, i) => sum + c[i] * value, 0);
      };
      const difference = ((await along(h)) - (await along(-h))) / (2 * h);
      const wider = ((await along(2 * h)) - (await along(-2 * h))) / (4 * h);
      const expected = gradients[index].reduce((sum, value, i) => sum + value * u[i], 0);
      // Truncation: the differences over h and over 2h are three times h's own error apart, to leading order. Rounding: two
      // evaluations, each off by noise in every output, over 2h.
      const truncation = Math.abs(wider - difference);
      const size = y.reduce((sum, value, i) => sum + Math.abs(c[i]) * (Math.abs(value) + 1), 0);
      const bound = truncation + (noise * size) / h;
      assert.ok(
        Math.abs(difference - expected) <= bound,
        `input ${index}, direction ${direction}: difference ${difference}, gradient ${expected}, bound ${bound}`,
      );
      const magnitude = Math.sqrt(gradients[index].reduce((sum, value) => sum + value * value, 0));
      assert.ok(
        bound < 0.1 * magnitude,
        `the bound ${bound} could not tell a wrong gradient from one of size ${magnitude}`,
      );
    }
  }
}

const claims = (name: string, op: Op, shapes: readonly (readonly number[])[]) =>
  test(`${name}: its vjp equals central differences`, () => checkGradients(op, shapes));

claims("matmul nn with bias", (_t, [x, w, bias]) => matmul(x, w, { form: "nn", bias }), [[5, 7], [7, 6], [6]]);
claims("matmul nt", (_t, [x, w]) => matmul(x, w, { form: "nt" }), [
  [5, 7],
  [6, 7],
]);
claims("matmul tn", (_t, [x, w]) => matmul(x, w, { form: "tn" }), [
  [7, 5],
  [7, 6],
]);
claims("layer norm", (_t, [x, gain, bias]) => norm(x, { kind: "layer", gain, bias, eps: 1e-5, width: 9 }), [
  [4, 9],
  [9],
  [9],
]);
claims("rms norm", (_t, [x, gain]) => norm(x, { kind: "rms", gain, eps: 1e-5, width: 9 }), [[4, 9], [9]]);
claims("gelu, tanh form", (_t, [x]) => gelu(x, "tanh"), [[5, 7]]);
claims("gelu, exact form", (_t, [x]) => gelu(x, "exact"), [[5, 7]]);
claims("siluGate", (_t, [x]) => siluGate(x), [[5, 6]]);
claims("add", (_t, [a, b]) => add(a, b), [
  [5, 7],
  [5, 7],
]);
claims("add of a tensor to itself", (_t, [a]) => add(a, a), [[5, 7]]);
claims("scale", (_t, [x]) => scale(x, -1.5), [[5, 7]]);
claims("a tensor used by three ops", (_t, [x, w]) => add(add(matmul(x, w, { form: "nn" }), gelu(x, "tanh")), x), [
  [5, 7],
  [7, 7],
]);
claims(
  "dropout",
  (_t, [x]) => dropout(x, { probability: 0.3, seed: 5, stream: 3, step: 2, rowOffset: 1, colOffset: 3 }),
  [[5, 7]],
);
const grouped = { heads: 4, kvHeads: 2, headWidth: 6 };
claims("grouped-query attention", (_t, [qkv]) => attention(qkv, { shape: grouped, batch: 2, tokens: 5 }), [[10, 48]]);
claims(
  "attention with dropout",
  (_t, [qkv]) =>
    attention(qkv, {
      shape: grouped,
      batch: 2,
      tokens: 5,
      dropout: { probability: 0.2, seed: 9, stream: 19, step: 1, batchOffset: 0, headOffset: 0, globalHeads: 4 },
    }),
  [[10, 48]],
);
claims(
  "rotary",
  (tape, [x]) => {
    const data = rotaryTable({ positions: 9, headWidth: 6, theta: 100 });
    const table = tape.keep(constant(tape.backend, { shape: [9, 3, 2], data, purpose: "weights" }));
    return rotary(x, { shape: grouped, table, tokens: 5, offset: 2 });
  },
  [[10, 48]],
);
claims(
  "embedding with positions and repeated ids",
  (tape, [table, positions]) => {
    const ids = (list: number[], limit: number) =>
      tape.keep(new Ids(tape.backend, { ids: Int32Array.from(list), limit }));
    return embedding(tape, {
      ids: ids([3, 0, 3, 5, 3], 6),
      table,
      add: { ids: ids([0, 1, 2, 0, 1], 4), table: positions },
    });
  },
  [
    [6, 7],
    [4, 7],
  ],
);
claims(
  "cross-entropy with padded columns",
  (tape, [logits]) =>
    crossEntropy(logits, {
      targets: tape.input(Int32Array.from([0, 4, 2, 6, 3]), { shape: [5] }),
      validCols: 7,
      scale: 1 / 5,
    }),
  [[5, 8]],
);

test.after(closeBackend);
test.run();
