// PyTorch's numbers on meshes: reference runs replayed by ranks that each hold a part, to twice the room that one rank gets, since sums
// over ranks round once more. 1D on these runs, and on those whose batch of 5 no plane divides, is in megatron.test.ts.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { runRanks } from "../../src/comm/loopback.ts";
import type { ReferenceFiles } from "../../src/train/events.ts";
import { readSafetensors, writeSafetensors } from "../../src/train/safetensors.ts";
import { verifyReference } from "../../src/train/verify.ts";
import { fixture } from "../fixtures/reference.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import { layoutOn, mesh, type NamedMesh } from "./meshes.ts";

/** What rank 0, which puts the whole tensors together, found. */
async function verifyOn(shape: NamedMesh, files: ReferenceFiles) {
  const device = await backendUnderTest();
  const [result] = await runRanks({ size: shape.size, backend: device }, (rank) =>
    verifyReference({ backend: rank.backend, files, layout: layoutOn(shape, rank), slack: 2 }),
  );
  assert.is(device.memory.total, 0, "nothing is left allocated");
  return result;
}

const squares = [
  mesh("2d", [2, 2]),
  mesh("2d", [4, 4]),
  mesh("2.5d", [2, 2, 2]),
  mesh("2.5d", [2, 2, 4]),
  mesh("2.5d", [4, 4, 2]),
];
const threes = [mesh("2d", [3, 3]), mesh("2.5d", [3, 3, 2]), mesh("1d", [3]), mesh("1d-sp", [3])];
const gpt2Only = [mesh("1d", [9]), mesh("1d-sp", [9])];

for (const [name, what, shapes] of [
  ["gpt2", "GPT-2, 8 heads, 2 layers", squares],
  ["llama", "Llama, 8 heads on 4 key-value heads, untied head", squares],
  ["gpt2-nine-heads", "GPT-2, 9 heads, odd vocabulary", [...threes, ...gpt2Only]],
  ["llama-nine-heads", "Llama, 9 heads on 3 key-value heads, odd vocabulary", threes],
] as const)
  for (const shape of shapes)
    test(`${shape.name}, ${what}: logits, gradients, losses and trained weights are PyTorch's`, async () => {
      const result = await verifyOn(shape, fixture(name));
      assert.ok(result.pass, JSON.stringify(result));
      // Twice what one rank's is held to.
      assert.ok(result.gradNorm <= 4e-5, `gradient norm off by ${result.gradNorm}`);
    });

test("2.5d 3x3x2, one weight of one block changed by a part in a thousand: the replay does not pass", async () => {
  const files = fixture("gpt2-nine-heads");
  const weights = readSafetensors(files.weights);
  const { data, shape } = weights.get("h.0.mlp.c_fc.weight")!;
  const [rows, cols] = shape;
  // Block (1, 2) of 3 x 3.
  for (let row = rows / 3; row < (2 * rows) / 3; row++)
    for (let col = (2 * cols) / 3; col < cols; col++) data[row * cols + col] *= 1.001;
  const result = await verifyOn(mesh("2.5d", [3, 3, 2]), { ...files, weights: writeSafetensors(weights) });
  assert.not(result.pass);
});

test.after(closeBackend);
test.run();
