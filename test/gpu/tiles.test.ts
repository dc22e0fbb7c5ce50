// The product kernels that the plan keeps for GPUs, run on whatever adapter is here: its plan is told it is one.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { findAdapter } from "../../src/backend/select.ts";
import { WebGpuBackend } from "../../src/backend/webgpu/backend.ts";
import { openDevice } from "../../src/backend/webgpu/device.ts";
import { matmulVariant } from "../../src/backend/webgpu/plans/matmul.ts";

const gpu = { software: false, vendor: "", architecture: "", maxInvocations: 256, subgroupSize: 32 };
const shapes = [
  [64, 64, 16],
  [72, 132, 36],
  [133, 68, 44],
  [36, 32, 4],
  [200, 100, 12],
];
const forms = [
  { transposeA: false, transposeB: false },
  { transposeA: true, transposeB: false },
  { transposeA: false, transposeB: true },
];

const values = (length: number, seed: number) =>
  Float32Array.from({ length }, (_, i) => (((i + seed) * 7919) % 1009) / 1009 - 0.5);

if (globalThis.process?.env.SHARDGRAD_TEST_BACKEND === "webgpu") {
  test("matmulTile equals the f64 product within gamma(k + 3) |a||b|, edges, batches, bias and accumulation included", async () => {
    const found = await findAdapter();
    if ("missing" in found) throw new Error(found.missing);
    const { device, info } = await openDevice(found.adapter);
    const backend = new WebGpuBackend({ device, info: { ...info, software: false } });
    const upload = (data: Float32Array) => {
      const buffer = backend.allocate({ dtype: "f32", length: data.length, purpose: "scratch" });
      backend.write(buffer, data);
      return buffer;
    };
    const batch = 2;
    let tiled = 0;
    for (const [m, n, k] of shapes) {
      for (const form of forms) {
        if (matmulVariant({ m, n, k, ...form }, gpu).shader !== "matmulTile") continue;
        tiled++;
        const { transposeA, transposeB } = form;
        const [a, b, y, bias] = [
          values(batch * m * k, 1),
          values(batch * k * n, 2),
          values(batch * m * n, 3),
          values(n, 4),
        ];
        const out = upload(y);
        const args = { a: upload(a), b: upload(b), y: out, bias: upload(bias), batch, m, n, k, ...form };
        backend.run("matmul", { ...args, accumulate: true });
        const got = await backend.read(out);
        for (let at = 0; at < y.length; at++) {
          const z = Math.floor(at / (m * n));
          const i = Math.floor(at / n) % m;
          const j = at % n;
          let sum = y[at] + bias[j];
          let size = Math.abs(y[at]) + Math.abs(bias[j]);
          for (let q = 0; q < k; q++) {
            const term =
              a[z * m * k + (transposeA ? q * m + i : i * k + q)] * b[z * k * n + (transposeB ? j * k + q : q * n + j)];
            sum += term;
            size += Math.abs(term);
          }
          // k products and k + 2 sums of them, bias and y, each rounded once.
          const bound = ((k + 3) * 2 ** -24 * size) / (1 - (k + 3) * 2 ** -24);
          if (!(Math.abs(got[at] - sum) <= bound)) {
            assert.unreachable(`${m}x${n}x${k} ${JSON.stringify(form)} [${z}, ${i}, ${j}]: ${got[at]}, wanted ${sum}`);
          }
        }
      }
    }
    // All but 133 rows transposed, which are no whole vec4s.
    assert.is(tiled, 14);
    backend.dispose();
  });
}

test("the plan: GPUs take tiles, software adapters subgroups, and strides neither can read the general kernel", () => {
  const shape = { m: 96, n: 64, k: 32, transposeA: false, transposeB: false };
  const lavapipe = { ...gpu, software: true, subgroupSize: 8 };
  assert.is(matmulVariant(shape, gpu).shader, "matmulTile");
  assert.is(matmulVariant(shape, lavapipe).shader, "matmulSubgroup");
  assert.is(matmulVariant(shape, { ...lavapipe, subgroupSize: 0 }).shader, "matmul");
  assert.is(matmulVariant({ ...shape, n: 65 }, gpu).shader, "matmul");
  assert.is(matmulVariant({ ...shape, n: 65 }, lavapipe).shader, "matmul");
  assert.is(matmulVariant({ ...shape, k: 33, transposeB: true }, lavapipe).shader, "matmul");
  assert.is(matmulVariant({ ...shape, m: 1 }, gpu).shader, "matmul");
});

test.run();
