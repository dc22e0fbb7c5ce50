// The field's own formulas and figures against the closed forms.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseModelConfig } from "../../src/nn/config.ts";
import { totalCount, trainingTraffic } from "../../src/nn/traffic.ts";
import { gradientSums, heldWords, layerVolume, type MeshExtents, volumeOf } from "../../src/parallel/volume.ts";

const line = (size: number, layout: "1d" | "1d-sp" = "1d"): MeshExtents => ({ layout, size, q: 1, d: 1 });
const square = (q: number, d = 1): MeshExtents => ({ layout: d === 1 ? "2d" : "2.5d", size: q * q * d, q, d });

const total = (mesh: MeshExtents, extents: { T: number; h: number }) => {
  const { forward, backward, perStep } = layerVolume(mesh, extents);
  return forward + backward + perStep;
};

test("published totals for 64 ranks, s = 512, in million words a layer", () => {
  const millions = (mesh: MeshExtents, batch: number, h: number) => total(mesh, { T: 512 * batch, h }) / 1e6;
  const meshes = [line(64), square(8), square(4, 4)];
  const figures = (batch: number, h: number) => meshes.map((mesh) => millions(mesh, batch, h));
  assert.equal(
    figures(16, 3072).map((words) => words.toFixed(1)),
    ["198.2", "95.0", "99.1"],
  );
  assert.equal(
    figures(384, 8192).map((words) => words.toFixed(0)),
    ["12684", "3964", "2114"],
  );
});

test("at 64 ranks 2.5D moves less than 2D above T = 3 h: 0.70 at h, 1.42 at 8 h, 1.97 at 32 h, limit 7/3", () => {
  const h = 1024;
  const ratio = (T: number) => total(square(8), { T, h }) / total(square(4, 4), { T, h });
  assert.equal(
    [h, 8 * h, 32 * h].map((T) => ratio(T).toFixed(2)),
    ["0.70", "1.42", "1.97"],
  );
  assert.ok(Math.abs(ratio(3 * h) - 1) < 1e-12, `${ratio(3 * h)}`);
  assert.ok(Math.abs(ratio(1e9 * h) - 7 / 3) < 1e-6);
});

test("2.5D: a linear takes 3(q-1)(TK/(d q²) + KN/q²) words, and 2(d-1)/d KN/q² a step", () => {
  const [q, d, T, K, N] = [4, 3, 960, 1000, 600];
  for (let rank = 0; rank < q * q * d; rank++) {
    const volume = volumeOf(square(q, d), rank);
    const { forward, backward } = volume.linear({ T, K, N, kind: "column" });
    assert.is(forward.words + backward.words, 3 * (q - 1) * ((T * K) / (d * q ** 2) + (K * N) / q ** 2));
    // K N/q² = 37500 divides over three planes.
    const sum = volume.gradientSum(gradientSums([{ name: "w", shape: [K, N], kind: "column" }], square(q, d)));
    assert.is(sum.words, ((2 * (d - 1)) / d) * ((K * N) / q ** 2));
    // A product of q steps is q - 1 messages along the row and as many down the column; a ring of d is 2 (d - 1).
    assert.equal(
      [forward, backward, sum].map(({ messages }) => messages),
      [2 * (q - 1), 4 * (q - 1), 2 * (d - 1)],
    );
  }
});

for (const mesh of [line(8), line(8, "1d-sp"), square(3), square(3, 2), square(2, 3)])
  test(`the layer's formula is what its four linears add up to: ${mesh.layout} on ${mesh.size}`, () => {
    const [T, h] = [2 * 720, 48 * 24];
    const volume = volumeOf(mesh, mesh.size - 1);
    const linears = [
      { K: h, N: 3 * h, kind: "column" },
      { K: h, N: h, kind: "row" },
      { K: h, N: 4 * h, kind: "column" },
      { K: 4 * h, N: h, kind: "row" },
    ] as const;
    const words = linears.map((extents) => volume.linear({ T, ...extents }));
    const expected = layerVolume(mesh, { T, h });
    const near = (got: number, wanted: number) =>
      assert.ok(Math.abs(got - wanted) <= 1e-12 * wanted, `${got} ${wanted}`);
    near(
      words.reduce((sum, each) => sum + each.forward.words, 0),
      expected.forward,
    );
    near(
      words.reduce((sum, each) => sum + each.backward.words, 0),
      expected.backward,
    );
    if (mesh.layout === "2d" || mesh.layout === "2.5d") {
      const weights = linears.map(({ K, N, kind }) => ({ name: "w", shape: [K, N], kind }));
      near(volume.gradientSum(gradientSums(weights, mesh)).words, expected.perStep);
    }
  });

test("the blocks of a parameter on all ranks are its copies, padding of the vocabulary included", () => {
  const held = (mesh: MeshExtents, kind: "column" | "vocabulary" | "positions" | "rowBias", shape: number[]) =>
    mesh.size * heldWords({ name: "w", kind, shape }, mesh);
  assert.is(held(square(3, 2), "column", [12, 30]), 2 * 12 * 30);
  // 53 rows become 60, a multiple of 3 * 4, and on four ranks 64.
  assert.is(held(square(3, 2), "vocabulary", [53, 30]), 2 * 60 * 30);
  assert.is(held(line(4), "vocabulary", [53, 30]), 64 * 30);
  assert.is(held(square(3, 2), "positions", [11, 30]), 6 * 11 * 30);
  assert.is(held(line(4), "rowBias", [30]), 4 * 30);
});

test("one rank receives nothing, whatever the layout", () => {
  const config = parseModelConfig({
    model_type: "gpt2",
    vocab_size: 65,
    n_positions: 8,
    n_embd: 12,
    n_layer: 2,
    n_head: 2,
  });
  for (const shape of [{ ...line(1), layout: "serial" as const }, line(1), line(1, "1d-sp"), square(1)]) {
    const run = { shape, batch: 2, context: 8, accumulate: 2, recompute: true };
    assert.equal(trainingTraffic(config, run), { words: [{}], messages: [{}], bytesReceived: [0] });
  }
});

test("GPT-2 small on 64 ranks, counted by hand", () => {
  const [T, h, V, L, q, d] = [16 * 1024, 768, 50304, 12, 4, 4];
  const config = parseModelConfig({
    ...{ model_type: "gpt2", vocab_size: V, n_positions: 1024, n_embd: h, n_layer: L, n_head: 12, bias: false },
  });
  const run = { shape: square(q, d), batch: 16, context: 1024, accumulate: 1, recompute: false };
  const R = T / (q * d);
  const inner = q - 1;
  const expected = {
    "embedding forward": (inner * R * h) / q,
    "embedding backward": (inner * R * h) / q,
    "linear forward": L * inner * ((7 * R * h) / q + (12 * h * h) / (q * q)),
    "linear backward": 2 * L * inner * ((7 * R * h) / q + (12 * h * h) / (q * q)),
    "head forward": inner * ((R * V) / q + (V * h) / (q * q)),
    "head backward": 2 * inner * ((R * V) / q + (V * h) / (q * q)),
    "norm forward": (2 * L + 1) * inner * 2 * R,
    // 2 R = 2048 words: doubling, log2(4) rounds of all of it.
    "norm backward": (2 * L + 1) * 2 * 2 * R,
    // Doubling too: R, then 2 R, along the row; one word over 16 ranks.
    loss: 2 * 3 * R + 4,
    // Weights over four planes by ring; gains (of a q-th) and positions over the 16 ranks of a column of all planes.
    "gradient sum":
      2 * (3 / 4) * ((L * 12 * h * h + V * h) / (q * q)) + 2 * (15 / 16) * (((2 * L + 1) * h + 1024 * h) / q),
    "gradient norm": 6,
  };
  // Rounds of doubling over 4, 16 and 64 ranks: 2, 4 and 6. Rings over 4 and 16: 6 and 30. Four linears a layer.
  const products = 2 * inner;
  const expectedMessages = {
    "embedding forward": inner,
    "embedding backward": inner,
    "linear forward": L * 4 * products,
    "linear backward": L * 4 * 2 * products,
    "head forward": products,
    "head backward": 2 * products,
    "norm forward": (2 * L + 1) * inner,
    "norm backward": (2 * L + 1) * 2,
    loss: 2 + 2 + 4,
    // 7.7 million words of weights are two buckets of at most 4.2.
    "gradient sum": 2 * 6 + 30,
    "gradient norm": 6,
  };
  const { words, messages, bytesReceived } = trainingTraffic(config, run);
  for (const each of messages) assert.equal(each, expectedMessages);
  for (const [rank, each] of words.entries()) {
    const { "gradient sum": sum, ...rest } = each;
    const { "gradient sum": expectedSum, ...expectedRest } = expected;
    assert.equal(rest, expectedRest);
    // A bucket's parts differ by up to one element, which counts twice.
    assert.ok(Math.abs(sum - expectedSum) <= 2 * 8, `rank ${rank}: ${sum}, ${expectedSum}`);
    assert.is(bytesReceived[rank], 4 * totalCount(each));
  }
});

test.run();
