// Which product kernel a shape gets on which device.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { matmulVariant, packs } from "../../src/backend/webgpu/plans/matmul.ts";

const subgroups = { subgroupSize: 32, subgroupMaxSize: 32, subgroupMatrices: [] };
const gpu = { software: false, vendor: "", architecture: "", maxInvocations: 256, ...subgroups };

test("the plan: GPUs take tiles, software adapters subgroups, and strides neither can read the general kernel", () => {
  const shape = { batch: 1, m: 96, n: 64, k: 32, transposeA: false, transposeB: false };
  const lavapipe = { ...gpu, software: true, subgroupSize: 8 };
  assert.is(matmulVariant(shape, gpu).shader, "matmulTile");
  assert.is(matmulVariant(shape, lavapipe).shader, "matmulLanes");
  assert.is(matmulVariant(shape, { ...lavapipe, subgroupSize: 0 }).shader, "matmul");
  assert.is(matmulVariant({ ...shape, n: 65 }, gpu).shader, "matmul");
  assert.is(matmulVariant({ ...shape, m: 1024, n: 65 }, lavapipe).constants.SCALARS, 1);
  assert.is(matmulVariant({ ...shape, m: 1024, n: 65, transposeB: true }, lavapipe).constants.SCALARS, 0);
  assert.is(matmulVariant({ ...shape, m: 1024, n: 65, transposeB: true }, lavapipe).constants.NARROW, 1);
  assert.is(matmulVariant({ ...shape, m: 1024, k: 33, transposeB: true }, lavapipe).constants.SCALARS, 1);
  assert.is(matmulVariant({ ...shape, m: 1024, k: 33 }, lavapipe).constants.TAIL, 1);
  assert.is(matmulVariant({ ...shape, m: 32 }, lavapipe).shader, "matmul", "65,536 products: not worth a compilation");
  assert.is(matmulVariant({ ...shape, m: 1 }, lavapipe).rows, 1);
  const swiftShader = { ...lavapipe, subgroupSize: 4 };
  const columns = (n: number) => matmulVariant({ ...shape, m: 4096, n }, swiftShader).columns;
  assert.equal([16, 65, 128, 352].map(columns), [16, 80, 64, 64]);
  assert.is(matmulVariant({ ...shape, m: 1 }, gpu).shader, "matmul");
});

test("the plan: lavapipe packs what is large, not mostly padding, and read in fours", () => {
  const lavapipe = { ...gpu, software: true, subgroupSize: 8 };
  const square = { batch: 1, m: 512, n: 512, k: 512, transposeA: false, transposeB: false };
  assert.ok(packs(square, lavapipe));
  assert.not(packs(square, gpu));
  assert.not(packs(square, { ...lavapipe, subgroupSize: 4 }));
  assert.not(packs({ ...square, m: 128, n: 128 }, lavapipe), "8 million multiplications");
  assert.not(packs({ ...square, m: 65536, n: 4 }, lavapipe), "fifteen of sixteen columns are padding");
  assert.not(packs({ ...square, k: 510 }, lavapipe));
  assert.not(packs({ ...square, n: 511 }, lavapipe));
  assert.ok(packs({ ...square, n: 511, transposeB: true }, lavapipe));
  assert.not(packs({ ...square, m: 511, transposeA: true }, lavapipe));
});

test.run();
