// The tape's promises about memory and sharing, on real buffers.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { add, gelu, scale } from "../../src/tensor/ops/elementwise.ts";
import { matmul } from "../../src/tensor/ops/products.ts";
import { Tape } from "../../src/tensor/tape.ts";
import { constant, Parameter, type Tensor } from "../../src/tensor/tensor.ts";
import { backendUnderTest, closeBackend } from "./harness.ts";
import { normal } from "./oracle/random.ts";

async function withParameter(run: (w: Parameter, x: Float32Array) => Promise<void>): Promise<void> {
  const backend = await backendUnderTest();
  const { storage } = constant(backend, { shape: [9, 9], data: normal(81, { seed: 1 }), purpose: "weights" });
  const w = new Parameter(storage, { shape: [9, 9], name: "w", decay: true });
  try {
    await run(w, normal(45, { seed: 2 }));
  } finally {
    w.dispose();
  }
  assert.is(backend.memory.total, 0, "nothing is left allocated");
}

/** Twelve times gelu(x w) + x: enough layers for a difference in memory. */
async function block(x: Tensor, w: Parameter): Promise<Tensor> {
  using product = matmul(x, w, { form: "nn" });
  using active = gelu(product, "tanh");
  return add(x, active);
}

async function gradientOf(w: Parameter, options: { x: Float32Array; recompute: boolean }) {
  const { backend } = w;
  w.gradientFilled = false;
  backend.memory.resetPeak();
  using tape = new Tape(backend, { recording: true });
  let h = tape.input(options.x, { shape: [5, 9] });
  for (let layer = 0; layer < 12; layer++) {
    const before = h;
    h = options.recompute ? await tape.checkpoint(before, (x) => block(x, w)) : await block(before, w);
    before.dispose();
  }
  const y = await h.read();
  await tape.backward(h, tape.input(new Float32Array(45).fill(0.5), { shape: [5, 9] }));
  return { y, gradient: await w.gradient.read(), peak: backend.memory.peak.activations };
}

test("recomputation gives the same output and the same gradient to the bit, and a lower peak of activations", () =>
  withParameter(async (w, x) => {
    const kept = await gradientOf(w, { x, recompute: false });
    const again = await gradientOf(w, { x, recompute: true });
    assert.equal(again.y, kept.y);
    assert.equal(again.gradient, kept.gradient);
    assert.ok(again.peak < 0.7 * kept.peak, `${again.peak} bytes against ${kept.peak}`);
  }));

test("a second backward without a step in between adds to the gradient", () =>
  withParameter(async (w, x) => {
    const once = await gradientOf(w, { x, recompute: false });
    const { backend } = w;
    using tape = new Tape(backend, { recording: true });
    using y = matmul(tape.input(x, { shape: [5, 9] }), w, { form: "nn" });
    await tape.backward(y, tape.input(new Float32Array(45), { shape: [5, 9] }));
    assert.equal(await w.gradient.read(), once.gradient, "a zero gradient changes nothing");
  }));

test("a tape that does not record keeps nothing and makes nothing differentiable", () =>
  withParameter(async (w, x) => {
    using tape = new Tape(w.backend, { recording: false });
    const y = await block(tape.input(x, { shape: [5, 9] }), w);
    assert.not(y.requiresGrad);
    assert.is(w.backend.memory.bytes.activations, 2 * 45 * 4, "input and output");
  }));

test("an op that needs no gradient records nothing", () =>
  withParameter(async (w, x) => {
    using tape = new Tape(w.backend, { recording: true });
    const input = tape.input(x, { shape: [5, 9] });
    const y = scale(input, 2);
    assert.not(y.requiresGrad);
    y.dispose();
    assert.is(w.backend.memory.bytes.activations, 45 * 4);
  }));

test("a tensor used after it was freed is refused by name", () =>
  withParameter(async (w, x) => {
    using tape = new Tape(w.backend, { recording: true });
    const input = tape.input(x, { shape: [5, 9], name: "tokens" });
    input.dispose();
    input.dispose();
    assert.throws(() => scale(input, 2), /tokens is used after it was freed/);
  }));

test("an op on parameters alone is refused: it has no tape", () =>
  withParameter(async (w) => {
    assert.throws(() => gelu(w, "tanh"), /lives on a tape/);
  }));

test("products whose inner extents differ are refused", () =>
  withParameter(async (w, x) => {
    using tape = new Tape(w.backend, { recording: true });
    const input = tape.input(x, { shape: [9, 5] });
    assert.throws(() => matmul(input, w, { form: "nn" }), /\[9,5\] and \[9,9\] do not share their inner extent/);
  }));

test("a vjp that throws leaves nothing allocated", () =>
  withParameter(async (w, x) => {
    const tape = new Tape(w.backend, { recording: true });
    const input = tape.input(x, { shape: [5, 9] });
    const y = matmul(input, w, { form: "nn" });
    const broken = tape.output("broken", { shape: [5, 9], inputs: [y] });
    tape.record({
      op: "broken",
      output: broken,
      saved: [y],
      vjp() {
        throw new Error("broken on purpose");
      },
    });
    let message = "";
    await tape.backward(broken, y).catch((error: Error) => {
      message = error.message;
    });
    assert.is(message, "broken on purpose");
    tape.dispose();
    assert.is(w.backend.memory.bytes.activations, 0);
  }));

test.after(closeBackend);
test.run();
