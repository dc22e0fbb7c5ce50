// The product by a GPU's matrix units, with what the units do written out in plain WGSL: so that its indices are tested where no
// adapter has any. What is not tested is that units do what their specification says, and how fast.

import { test } from "uvu";
import * as assert from "uvu/assert";
import type { AdapterInfo, SubgroupMatrix } from "../../src/backend/backend.ts";
import type { KernelArgs, KernelName } from "../../src/backend/kernels.ts";
import { findAdapter } from "../../src/backend/select.ts";
import { WebGpuBackend } from "../../src/backend/webgpu/backend.ts";
import { deviceFacts, openDevice } from "../../src/backend/webgpu/device.ts";
import type { DeviceFacts } from "../../src/backend/webgpu/plan.ts";
import { Forced } from "../../src/backend/webgpu/tuning/bench.ts";
import type { Variant } from "../../src/backend/webgpu/tuning/family.ts";
import { products } from "../../src/backend/webgpu/tuning/products.ts";
import { tuningShaders } from "../../src/backend/webgpu/tuning/shaders.ts";
import { stored } from "./bounds.ts";
import { assertWithin } from "./compare.ts";
import { backendUnderTest, blank, closeBackend, compute, half } from "./harness.ts";
import { product } from "./oracle/products.ts";
import { normal } from "./oracle/random.ts";

/** A factor is where it lies: its first element, and the steps to the next row and column. Every thread keeps all sums, and stores the same
 *  as the others of its subgroup. */
const written = `
fn multiplyAccumulate(left: vec3u, right: vec3u, sums: ptr<function, Sums>) {
  for (var e = 0u; e < ROWS * COLUMNS; e++) {
    let row = left.x + e / COLUMNS * left.y;
    let column = right.x + e % COLUMNS * right.z;
    for (var q = 0u; q < DEPTH; q++) {
      sums[e] += f32(a[row + q * left.z]) * f32(b[column + q * right.y]);
    }
  }
}
fn store_staged(at: u32, sums: ptr<function, Sums>, stride: u32) {
  for (var e = 0u; e < ROWS * COLUMNS; e++) {
    staged[at + e / COLUMNS * stride + e % COLUMNS] = sums[e];
  }
}
fn store_y(at: u32, sums: ptr<function, Sums>, stride: u32) {
  for (var e = 0u; e < ROWS * COLUMNS; e++) {
    y[at + e / COLUMNS * stride + e % COLUMNS] = Y(sums[e]);
  }
}
`;

/** The kernel without the extension. */
const plain = (source: string): string =>
  source
    .replace(/^enable chromium_experimental_subgroup_matrix;$/m, "")
    .replace(/^diagnostic.*$/m, "")
    .replace(/subgroup_matrix_(?:left|right)<.*>/g, "vec3u")
    .replace(/subgroup_matrix_result<f32, (.*), (.*)>/, "array<f32, $1 * $2>")
    .replace(/subgroupMatrixLoad<\w+, row_major>\(&\w+, (.*), (.*)\);/g, "vec3u($1, $2, 1u);")
    .replace(/subgroupMatrixLoad<\w+, col_major>\(&\w+, (.*), (.*)\);/g, "vec3u($1, 1u, $2);")
    .replace(/\w+ = subgroupMatrixMultiplyAccumulate\((.*), (\w+)\);/, "multiplyAccumulate($1, &$2);")
    .replace(/subgroupMatrixStore<row_major>\(&(\w+), (.*), (\w+), (\w+)\);/g, "store_$1($2, &$3, $4);") + written;

/** One that a square holds several of both ways, and one that is not square. */
const matrices: SubgroupMatrix[] = [
  { m: 16, n: 16, k: 8, component: "f32", result: "f32" },
  { m: 32, n: 16, k: 16, component: "f16", result: "f32" },
];

/** Edges in the middle of a tile, below and to the right. */
const size = { batch: 2, m: 96, n: 160, k: 48 };
const { batch, m, n, k } = size;

const scope = globalThis as { SHARDGRAD_TEST_BACKEND?: string };
const name = scope.SHARDGRAD_TEST_BACKEND ?? globalThis.process?.env.SHARDGRAD_TEST_BACKEND;
const asGpu = name === "webgpu-as-gpu";
if (name === "cpu" || name === "plain")
  test("the cpu backend has no subgroups", async () => {
    assert.is((await backendUnderTest()).adapter.subgroupMatrices, undefined);
  });
else {
  let info: AdapterInfo;
  let facts: DeviceFacts;
  let few: number;
  let backend: WebGpuBackend;
  const forced = new Forced();
  test.before(async () => {
    const found = await findAdapter();
    if ("missing" in found) throw new Error(found.missing);
    const opened = await openDevice(found.adapter);
    info = opened.info;
    facts = { ...deviceFacts(info), software: false, subgroupMatrices: matrices };
    few = Math.max(4, facts.subgroupMaxSize);
    const matmulMatrix = plain(tuningShaders.matmulMatrix);
    assert.not.match(matmulMatrix, /subgroup_?matrix/i);
    backend = new WebGpuBackend({ ...opened, sources: { matmulMatrix }, chooser: forced });
  });
  test.after(() => backend?.dispose());

  /** The next products are by the kernel for `matrix`, of so many threads: where there are few, subgroups take turns. */
  function force(
    matrix: SubgroupMatrix,
    { threads, ...form }: { threads: number; transposeA: boolean; transposeB: boolean },
  ): void {
    const { component: dtype } = matrix;
    const args = { ...size, ...form, a: { dtype }, y: { dtype } } as unknown as KernelArgs["matmul"];
    const name = `matmulMatrix ${matrix.m}x${matrix.n}x${matrix.k}`;
    const variant = products.variants(args, facts).find((each) => each.name === name);
    assert.ok(variant, name);
    const plan: Variant<"matmul">["plan"] = (call, device) =>
      variant.plan(call, device).map((each) => ({ ...each, constants: { ...each.constants, THREADS: threads } }));
    forced.plan = plan as Variant<KernelName>["plan"];
  }

  // Every kernel takes a driver seconds to compile: these three forms read either factor both ways, in either type.
  for (const [form, transposeA] of [
    ["NT", false],
    ["TN", true],
  ] as const)
    test(`${form} in f32: within gamma(k) |a||b| of f64, stored at once, and with bias and accumulation`, async () => {
      const call = { ...size, transposeA, transposeB: !transposeA };
      const [a, b] = [normal(batch * m * k, { seed: 1 }), normal(batch * k * n, { seed: 2 })];
      const [bias, y0] = [normal(n, { seed: 3 }), normal(batch * m * n, { seed: 4 })];
      force(matrices[0], { ...call, threads: few });
      const first = await compute("matmul", { ...call, a, b, y: blank(y0.length), accumulate: false }, { backend });
      assertWithin(first.y, product(a, b, call), "y");
      force(matrices[0], { ...call, threads: 128 });
      const more = await compute("matmul", { ...call, a, b, y: y0, bias, accumulate: true }, { backend });
      assertWithin(more.y, product(a, b, { ...call, bias, y0 }), "y with bias and accumulation");
    });

  test("NN of f16: the same with y in f32, and with y in f16", async () => {
    if (!info.features.includes("shader-f16")) return assert.is(asGpu, false, "lavapipe has shader-f16");
    const call = { ...size, transposeA: false, transposeB: false };
    const [a, b] = [half(normal(batch * m * k, { seed: 5 })), half(normal(batch * k * n, { seed: 6 }))];
    const [bias, y0] = [normal(n, { seed: 8 }), half(normal(batch * m * n, { seed: 7 }))];
    force(matrices[1], { ...call, threads: 128 });
    const single = await compute("matmul", { ...call, a, b, y: blank(y0.length), accumulate: false }, { backend });
    assertWithin(single.y, product(a, b, call), "y in f32");
    force(matrices[1], { ...call, threads: few });
    const more = await compute("matmul", { ...call, a, b, y: y0, bias, accumulate: true }, { backend });
    assertWithin(more.y, stored(product(a, b, { ...call, bias, y0 })), "y in f16");
  });
}

test.after(closeBackend);
test.run();
