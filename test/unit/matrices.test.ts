// Products by a GPU's matrix units: offered exactly where they fit, and every form of their kernel compiles. No adapter here has the units.

import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { create } from "webgpu";
import type { DType } from "../../src/backend/buffer.ts";
import type { KernelArgs } from "../../src/backend/kernels.ts";
import { deviceFacts } from "../../src/backend/webgpu/device.ts";
import type { DeviceFacts, Workshop } from "../../src/backend/webgpu/plan.ts";
import { specialise, withHalves } from "../../src/backend/webgpu/specialise.ts";
import { products } from "../../src/backend/webgpu/tuning/products.ts";

const single = { m: 8, n: 8, k: 8, component: "f32", result: "f32" };
const half = { m: 16, n: 16, k: 16, component: "f16", result: "f32" };
const narrow = { ...half, n: 8 };
const facts: DeviceFacts = {
  ...{ software: false, vendor: "", architecture: "", maxInvocations: 256 },
  ...{ subgroupSize: 32, subgroupMaxSize: 32, subgroupMatrices: [single, half, narrow] },
};

interface Given {
  m?: number;
  n?: number;
  k?: number;
  factors?: DType;
  y?: DType;
  transposeA?: boolean;
  transposeB?: boolean;
  accumulate?: boolean;
  withBias?: boolean;
}

const buffer = (dtype: DType) => ({ dtype, length: 0 });
const call = ({ factors = "f32", y = "f32", withBias = false, ...rest }: Given = {}) =>
  ({
    ...{ a: buffer(factors), b: buffer(factors), y: buffer(y), bias: withBias ? buffer("f32") : undefined },
    ...{ batch: 2, m: 96, n: 64, k: 48, transposeA: false, transposeB: false, accumulate: false },
    ...rest,
  }) as unknown as KernelArgs["matmul"];
const named = (args: KernelArgs["matmul"], device = facts) =>
  products.variants(args, device).flatMap(({ name }) => name.match(/^matmulMatrix (.*)/)?.[1] ?? []);

test("a product is offered by matrices of its factors' type that sum in f32, where its extents are multiples of 32, 32 and 16", () => {
  assert.equal(named(call()), ["8x8x8"]);
  assert.equal(named(call({ factors: "f16" })), ["16x16x16", "16x8x16"]);
  assert.equal(named(call({ factors: "f16", y: "f16" })), ["16x16x16", "16x8x16"]);
  for (const size of [{ m: 80 }, { n: 48 }, { k: 40 }, { m: 1 }]) assert.equal(named(call(size)), []);
  for (const matrix of [
    { ...single, component: "f16", result: "f16" },
    { ...single, m: 12 },
    { ...single, n: 64 },
    { ...single, k: 32 },
    { ...half, component: "i8", result: "i32" },
  ])
    assert.equal(named(call(), { ...facts, subgroupMatrices: [matrix] }), []);
});

test("it is never a fixed table's choice, never on a software adapter, and needs room for whole subgroups", () => {
  assert.match(products.variants(call(), facts)[0].name, /^matmulTile/);
  assert.equal(named(call(), { ...facts, software: true }), []);
  assert.equal(named(call(), { ...facts, maxInvocations: 64 }), []);
  assert.equal(named(call(), { ...facts, subgroupMaxSize: 512 }), []);
  assert.equal(named(call(), { ...facts, subgroupMaxSize: 256 }), ["8x8x8"]);
  assert.equal(named(call(), { ...facts, subgroupMatrices: [single, single] }), ["8x8x8"]);
});

test("calls of one class are all offered it, or none; its trials too", () => {
  const classes = new Map<number, { offered: string; name: string }>();
  for (const m of [32, 36, 64, 68, 80, 96, 128])
    for (const n of [32, 48, 64])
      for (const k of [8, 16, 20, 24, 32]) {
        const args = call({ m, n, k });
        const found = { offered: named(args).join(), name: products.nameOf(args) };
        const number = products.classOf(args);
        assert.equal(found, classes.get(number) ?? found);
        classes.set(number, found);
        for (const limits of [
          { bytes: 2 ** 12, flop: 2 ** 12 },
          { bytes: 2 ** 26, flop: 2 ** 28 },
        ])
          for (const trial of products.trials(args, limits))
            assert.is(named({ ...args, ...(trial.args as KernelArgs["matmul"]) }).join(), found.offered);
      }
  assert.is(new Set([...classes.values()].map(({ name }) => name)).size, classes.size);
});

test("the device's facts have an adapter's matrices only with the features for them", () => {
  const info = { description: "", vendor: "", architecture: "", software: false, limits: {}, subgroupMatrices: [half] };
  const features = ["chromium-experimental-subgroup-matrix", "subgroups"];
  assert.equal(deviceFacts({ ...info, features }).subgroupMatrices, [half]);
  assert.equal(deviceFacts({ ...info, features: features.slice(0, 1) }).subgroupMatrices, []);
  assert.equal(deviceFacts({ ...info, features: features.slice(1) }).subgroupMatrices, []);
});

// Dawn crashes when its entry object is collected while a device lives.
const dawn = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);

test("the kernel compiles for every matrix, transpose, type of y, with and without bias and accumulation", async () => {
  const adapter = await dawn.requestAdapter();
  const features = ["subgroups", "shader-f16", "chromium-experimental-subgroup-matrix"] as GPUFeatureName[];
  const device = await adapter!.requestDevice({ requiredFeatures: features });
  const source = readFileSync("shaders/matmulMatrix.wgsl", "utf8");
  const forms = [{}, { transposeA: true }, { transposeB: true }];
  const results: Given[] = [{}, { withBias: true }, { accumulate: true }, { y: "f16" }, { y: "f16", withBias: true }];
  let compiled = 0;
  for (const factors of ["f32", "f16"] as const)
    for (const form of forms)
      for (const result of results) {
        const args = call({ factors, ...form, ...result });
        // Dawn's null adapter has subgroups of up to 128.
        for (const { name, plan } of products.variants(args, { ...facts, subgroupMaxSize: 128 })) {
          if (!name.startsWith("matmulMatrix")) continue;
          const [{ constants, buffers }] = plan(args, facts as Workshop);
          assert.is(constants!.DIRECT, Number(Object.keys(result).length === 0));
          const specialised = specialise(source, constants!);
          const halves = Object.keys(buffers).filter((of) => buffers[of].dtype === "f16");
          const code = halves.length > 0 ? withHalves(specialised, halves) : specialised;
          device.pushErrorScope("validation");
          const module = device.createShaderModule({ code });
          device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main" } });
          const error = await device.popErrorScope();
          assert.is(error, null, `${name} ${JSON.stringify({ factors, ...form, ...result })}: ${error?.message}`);
          compiled++;
        }
      }
  assert.is(compiled, 3 * forms.length * results.length);
  device.destroy();
});

test.run();
