// Which product kernel a shape gets on which device.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { matmulVariant } from "../../src/backend/webgpu/plans/matmul.ts";

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

test.run();
