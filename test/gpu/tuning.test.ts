// Every variant of every kernel that has some, against f64; and a tuner that measures them, drops what is broken and keeps what it found.

import { test } from "uvu";
import * as assert from "uvu/assert";
import type { AdapterInfo, Backend } from "../../src/backend/backend.ts";
import type { KernelArgs, KernelName } from "../../src/backend/kernels.ts";
import { createBackend, findAdapter } from "../../src/backend/select.ts";
import { WebGpuBackend } from "../../src/backend/webgpu/backend.ts";
import { deviceFacts, openDevice } from "../../src/backend/webgpu/device.ts";
import { shaders } from "../../src/backend/webgpu/shaders.ts";
import { softwareShaders } from "../../src/backend/webgpu/software-shaders.ts";
import { Forced } from "../../src/backend/webgpu/tuning/bench.ts";
import type { Family, Variant } from "../../src/backend/webgpu/tuning/family.ts";
import { tuningShaders } from "../../src/backend/webgpu/tuning/shaders.ts";
import type { TableStore } from "../../src/backend/webgpu/tuning/store.ts";
import type { TuningTable } from "../../src/backend/webgpu/tuning/table.ts";
import { type Families, families, Tuner } from "../../src/backend/webgpu/tuning/tuner.ts";
import { stored } from "./bounds.ts";
import { assertSame, assertWithin } from "./compare.ts";
import { backendUnderTest, blank, closeBackend, compute, half } from "./harness.ts";
import { type AttentionDropout, attention, attentionGrad, fusedWidth } from "./oracle/attention.ts";
import { product } from "./oracle/products.ts";
import { normal } from "./oracle/random.ts";

const scope = globalThis as { SHARDGRAD_TEST_BACKEND?: string };
const name = scope.SHARDGRAD_TEST_BACKEND ?? globalThis.process?.env.SHARDGRAD_TEST_BACKEND;
const asGpu = name === "webgpu-as-gpu";
const sources = { ...shaders, ...softwareShaders, ...tuningShaders };

interface Opened {
  device: GPUDevice;
  info: AdapterInfo;
}

async function open(): Promise<Opened> {
  const found = await findAdapter();
  if ("missing" in found) throw new Error(found.missing);
  const { device, info } = await openDevice(found.adapter);
  return { device, info: asGpu ? { ...info, software: false } : info };
}

const forms = [
  { form: "NN", transposeA: false, transposeB: false },
  { form: "NT", transposeA: false, transposeB: true },
  { form: "TN", transposeA: true, transposeB: false },
];

/** Of few rows, for which alone a software adapter has a choice, and enough work for it to look. */
const fewRows = [
  { batch: 2, m: 3, n: 68, k: 516 },
  { batch: 1, m: 3, n: 645, k: 1085 },
];

/** Few outputs of many terms, of extents that are multiples of 4, or 16, or are not; and ordinary ones. */
const shapes = [
  { batch: 1, m: 1, n: 1, k: 1025 },
  { batch: 1, m: 1, n: 68, k: 260 },
  { batch: 2, m: 3, n: 5, k: 1030 },
  { batch: 1, m: 130, n: 2, k: 257 },
  { batch: 3, m: 12, n: 8, k: 1024 },
  { batch: 2, m: 33, n: 28, k: 259 },
  { batch: 1, m: 68, n: 36, k: 272 },
  { batch: 2, m: 65, n: 64, k: 32 },
];

if (name === "cpu" || name === "plain")
  test("the cpu backend has nothing to tune", async () => {
    assert.is((await backendUnderTest()).tune, undefined);
  });
else {
  let opened: Opened;
  let backend: WebGpuBackend;
  const forced = new Forced();
  test.before(async () => {
    opened = await open();
    backend = new WebGpuBackend({ ...opened, sources, chooser: forced });
  });
  test.after(() => backend?.dispose());

  /** What each variant that can run the call makes of it, by name. */
  async function byVariant<K extends KernelName, T>(
    kernel: K,
    { args, work }: { args: unknown; work: (name: string) => Promise<T> },
  ): Promise<Map<string, T>> {
    const variants = (families[kernel] as Family<K>).variants(args as KernelArgs[K], deviceFacts(opened.info));
    const results = new Map<string, T>();
    for (const variant of variants) {
      forced.plan = (variant as Variant<KernelName>).plan;
      results.set(variant.name, await work(variant.name));
    }
    return results;
  }

  for (const { form, transposeA, transposeB } of forms)
    test(`matmul ${form} by every variant: within gamma(k) |a||b| of f64, with and without bias and accumulation`, async () => {
      const met = new Set<string>();
      const { software, subgroupSize } = deviceFacts(opened.info);
      for (const size of software ? fewRows : shapes) {
        const { batch, m, n, k } = size;
        const shape = { ...size, transposeA, transposeB };
        const a = normal(batch * m * k, { seed: 1 });
        const b = normal(batch * k * n, { seed: 2 });
        const bias = normal(n, { seed: 3 });
        const y0 = normal(batch * m * n, { seed: 4 });
        const plain = product(a, b, shape);
        const added = product(a, b, { ...shape, bias, y0 });
        const names = await byVariant("matmul", {
          args: { ...shape, a: { dtype: "f32" }, y: { dtype: "f32" } },
          work: async (name) => {
            const what = `${name}, ${m} x ${n} x ${k} in batches of ${batch}`;
            const call = { ...shape, a, b };
            const first = await compute("matmul", { ...call, y: blank(y0.length), accumulate: false }, { backend });
            assertWithin(first.y, plain, `y by ${what}`);
            const second = await compute("matmul", { ...call, y: y0, bias, accumulate: true }, { backend });
            assertWithin(second.y, added, `y with bias and accumulation by ${what}`);
            const again = await compute("matmul", { ...call, y: y0, bias, accumulate: true }, { backend });
            assertSame(again.y, second.y, `y a second time by ${what}`);
          },
        });
        for (const name of names.keys()) met.add(name);
      }
      const columns = subgroupSize === 8 ? [32] : [64, 80];
      const lanes = columns.flatMap((count) => [4, 8].map((rows) => `matmulLanes ${rows}x${count}`));
      const forGpus = ["matmul 32x32", "matmulTile 64x64", "split 4", "split 16"];
      for (const name of software ? lanes : forGpus)
        assert.ok(met.has(name), `${name} is not among ${[...met].join(", ")}`);
    });

  test("matmul in f16 by every variant: within the bound of f64", async () => {
    if (!opened.info.features.includes("shader-f16")) return assert.is(asGpu, false, "lavapipe has shader-f16");
    const shape = { batch: 2, m: 3, n: 68, k: 400 };
    const { batch, m, n, k } = shape;
    for (const { form, transposeA, transposeB } of forms) {
      const call = { ...shape, transposeA, transposeB };
      const a = half(normal(batch * m * k, { seed: 5 }));
      const b = half(normal(batch * k * n, { seed: 6 }));
      const y0 = half(normal(batch * m * n, { seed: 7 }));
      const names = await byVariant("matmul", {
        args: { ...call, a: { dtype: "f16" }, y: { dtype: "f16" } },
        work: async (name) => {
          const { y } = await compute("matmul", { ...call, a, b, y: y0, accumulate: true }, { backend });
          assertWithin(y, stored(product(a, b, { ...call, y0 })), `${form} by ${name}`);
        },
      });
      assert.ok(names.size >= 2, `${form}: ${[...names.keys()]}`);
    }
  });

  const dropout: AttentionDropout = {
    ...{ probability: 0.3, seed: 0xfedcba98, stream: 17, step: 5 },
    ...{ batchOffset: 5, headOffset: 2, globalHeads: 11 },
  };
  test("attention and its gradient by every variant: within the bound of f64", async () => {
    for (const c of [{ heads: 4, kvHeads: 2, headWidth: 20, batch: 2, tokens: 37, dropout }]) {
      const { batch, tokens, heads, headWidth } = c;
      const scale = 1 / Math.sqrt(headWidth);
      const qkv = normal(batch * tokens * fusedWidth(c), { seed: 13 });
      const dy = normal(batch * tokens * heads * headWidth, { seed: 14 });
      const lengths = { queries: tokens, keys: tokens, capacity: tokens };
      const wanted = attention({ ...c, ...lengths, q: qkv, kv: qkv, scale: Math.fround(scale) });
      const q = { dtype: "f32" };
      const forward = await byVariant("attention", {
        args: { ...c, ...lengths, scale, q },
        work: async (name) => {
          const got = await compute(
            "attention",
            {
              ...{ ...c, ...lengths, q: qkv, kv: qkv, scale },
              ...{ y: blank(dy.length), lse: blank(batch * heads * tokens) },
            },
            { backend },
          );
          assertWithin(got.lse, wanted.lse, `lse by ${name}`);
          assertWithin(got.y, wanted.y, `y by ${name}`);
        },
      });
      const given = { ...c, qkv, dy, y: Float32Array.from(wanted.y.values), lse: Float32Array.from(wanted.lse.values) };
      const gradient = attentionGrad({ ...given, scale: Math.fround(scale) });
      const backward = await byVariant("attentionGrad", {
        args: { ...c, scale, qkv: q },
        work: async (name) => {
          const call = { ...given, scale, delta: blank(batch * heads * tokens), dqkv: blank(qkv.length) };
          const got = await compute("attentionGrad", call, { backend });
          assertWithin(got.dqkv, gradient.dqkv, `dqkv by ${name}`);
        },
      });
      const { software, subgroupSize } = deviceFacts(opened.info);
      const rows = subgroupSize === 4 || subgroupSize === 8;
      const names = software ? [rows ? "rows" : "tiles"] : rows ? ["tiles", "rows"] : ["tiles"];
      assert.equal([...forward.keys()], names);
      assert.equal([...backward.keys()], names);
    }
  });

  /** A tuner over `families`, the backend that takes its choices, and what it told. */
  async function tuned({ store, with: own }: { store?: TableStore; with?: Families } = {}) {
    const device = await open();
    const told: string[] = [];
    const tuner = await Tuner.open({ ...device, sources, store, families: own, tell: (line) => told.push(line) });
    return { tuner, told, backend: new WebGpuBackend({ ...device, sources, chooser: tuner }), device };
  }

  const shape = { batch: 1, m: 3, n: 172, k: 516, transposeA: false, transposeB: false, accumulate: false };
  const a = normal(shape.m * shape.k, { seed: 21 });
  const b = normal(shape.k * shape.n, { seed: 22 });
  const wanted = product(a, b, shape);
  const multiply = async (on: Backend) => {
    const { y } = await compute("matmul", { ...shape, a, b, y: blank(shape.m * shape.n) }, { backend: on });
    assertWithin(y, wanted, "y");
    return y;
  };

  test("what a call asked for is measured by tune(), once, and taken from then on", async () => {
    const { tuner, told, backend } = await tuned();
    try {
      assert.is(backend.tune!(), undefined);
      const table = await multiply(backend);
      assert.equal(tuner.table.choices, {});
      await backend.tune!();
      const [[of, choice], ...more] = Object.entries(tuner.table.choices);
      assert.equal(more, []);
      assert.match(of, /^matmul NN f32 to f32, 4x256x1024 /);
      const names = families
        .matmul!.variants({ ...shape } as KernelArgs["matmul"], deviceFacts(opened.info))
        .map((v) => v.name);
      assert.ok(names.includes(choice), `${choice} of ${names}`);
      assert.is(backend.tune!(), undefined);
      const after = await multiply(backend);
      if (choice === names[0]) assertSame(after, table, "y by the table's variant");
      assert.is(backend.tune!(), undefined, "nothing is asked for twice");
      assert.is(backend.memory.total, 0);
      assert.equal(told, []);
    } finally {
      backend.dispose();
    }
  });

  const plain: Variant<"matmul">["plan"] = (args, device) =>
    families.matmul!.variants(args, device)[0].plan(args, device);
  const broken: Record<string, { plan: Variant<"matmul">["plan"]; note: RegExp }> = {
    "does not compile": {
      plan: (args, device) =>
        plain(args, device).map((dispatch) => ({ ...dispatch, shader: "malformed", constants: {} })),
      note: /does not run here .*unresolved/,
    },
    "is refused by validation": {
      plan: (args, device) => plain(args, device).map((dispatch) => ({ ...dispatch, workgroups: [70_000, 1, 1] })),
      note: /does not run here .*70000/,
    },
    "throws while it plans": {
      plan: () => {
        throw new Error("no such plan");
      },
      note: /does not run here .*no such plan/,
    },
    "throws in its second dispatch": {
      plan: (args, device) => [
        ...plain(args, device),
        ...plain(args, device).map((each) => ({ ...each, buffers: {} })),
      ],
      note: /does not run here .*no buffer is given/,
    },
    "sums one term too few": {
      plan: (args, device) => plain({ ...args, k: args.k - 1 }, device),
      note: /computes something else here .*not/,
    },
    "forgets its last row": {
      plan: (args, device) => plain({ ...args, m: args.m - 1 }, device),
      note: /computes something else here/,
    },
    "forgets to add": {
      plan: (args, device) => plain({ ...args, accumulate: false }, device),
      note: /computes something else here/,
    },
    "forgets the bias": {
      plan: (args, device) => plain({ ...args, bias: undefined }, device),
      note: /computes something else here/,
    },
    "writes behind the end": {
      plan: (args, device) => plain(args.accumulate ? args : { ...args, m: args.m + 1 }, device),
      note: /computes something else here .*behind the end/,
    },
  };
  for (const [what, { plan, note }] of Object.entries(broken))
    test(`a variant that ${what} is told of once, never taken, and is no error of the backend's`, async () => {
      const products: Family<"matmul"> = {
        ...families.matmul!,
        variants: (args, facts) => [families.matmul!.variants(args, facts)[0], { name: "broken", plan }],
      };
      const malformed = { malformed: sources.matmul.replace("c0 +=", "nowhere +=") };
      const device = await open();
      const told: string[] = [];
      const rest = { ...device, sources: { ...sources, ...malformed } };
      const tuner = await Tuner.open({ ...rest, families: { matmul: products }, tell: (line) => told.push(line) });
      const backend = new WebGpuBackend({ ...rest, chooser: tuner });
      try {
        await multiply(backend);
        await backend.tune!();
        await multiply(backend);
        assert.is(told.length, 1, told.join("; "));
        assert.match(told[0], note);
        assert.not.ok(Object.values(tuner.table.choices).includes("broken"));
        const { transposeB, ...other } = { ...shape, k: 2 * shape.k };
        const wide = {
          ...other,
          transposeB,
          a: normal(2 * a.length, { seed: 23 }),
          b: normal(2 * b.length, { seed: 24 }),
        };
        await compute("matmul", { ...wide, y: blank(shape.m * shape.n) }, { backend });
        await backend.tune!();
        assert.is(told.length, 1, told.join("; "));
        await backend.sync();
      } finally {
        backend.dispose();
      }
    });

  test("a fixed table's plan that is wrong on a device makes room for one that is right", async () => {
    const right = families.matmul!;
    const products: Family<"matmul"> = {
      ...right,
      variants: (args, facts) => [
        { name: "fixed", plan: broken["forgets its last row"].plan },
        { name: "right", plan: right.variants(args, facts)[0].plan },
      ],
    };
    const store = memory();
    const { tuner, told, backend } = await tuned({ store, with: { matmul: products } });
    try {
      await compute("matmul", { ...shape, a, b, y: blank(shape.m * shape.n) }, { backend });
      store.kept = { ...tuner.table, choices: { "matmul elsewhere": "fixed", "attention elsewhere": "fixed" } };
      await backend.tune!();
      // Another process chose it for another class: nobody is to find that again.
      assert.equal(Object.values(store.kept.choices).sort(), ["fixed", "right"]);
      assert.is(told.length, 1);
      assert.match(told[0], /^matmul by fixed is not used/);
      assert.equal(Object.values(tuner.table.choices), ["right"]);
      await multiply(backend);
    } finally {
      backend.dispose();
    }
  });

  /** A store of one table, in memory. */
  function memory(kept?: unknown) {
    const store = {
      place: "memory",
      kept: kept as TuningTable | undefined,
      saves: 0,
      load: async () => store.kept,
      save: async (table: TuningTable) => {
        store.saves++;
        store.kept = table;
      },
    };
    return store;
  }

  /** The variant beside the table's own, whose speed must not decide a test. */
  const other = { name: "other", plan: plain };
  const two: Families = {
    matmul: { ...families.matmul!, variants: (args, facts) => [families.matmul!.variants(args, facts)[0], other] },
  };

  test("what was kept for the adapter and the shaders is taken without measuring; with other shaders it is not", async () => {
    const store = memory();
    const first = await tuned({ store, with: two });
    await multiply(first.backend);
    await first.backend.tune!();
    first.backend.dispose();
    assert.is(store.saves, 1);
    const [of] = Object.keys(store.kept!.choices);
    store.kept = { ...store.kept!, choices: { [of]: "other" } };

    const second = await tuned({ store, with: two });
    await multiply(second.backend);
    assert.is(second.backend.tune!(), undefined);
    assert.equal(second.tuner.table.choices, { [of]: "other" });
    second.backend.dispose();

    for (const foreign of [{ shaders: "0" }, { adapter: "another" }, { choices: { [of]: "gone since" } }]) {
      const changed = memory({ ...store.kept, ...foreign });
      const third = await tuned({ store: changed, with: two });
      await multiply(third.backend);
      await third.backend.tune!();
      assert.is(changed.saves, 1);
      assert.equal(third.told, []);
      assert.is(changed.kept!.shaders, store.kept.shaders);
      assert.is.not(changed.kept!.choices[of], "gone since");
      third.backend.dispose();
    }
  });

  test("what another process kept meanwhile stays; a store that fails is told of once and nothing else", async () => {
    const store = memory();
    const one = await tuned({ store, with: two });
    await multiply(one.backend);
    store.kept = { ...one.tuner.table, choices: { elsewhere: "x" } };
    await one.backend.tune!();
    assert.is(store.kept.choices.elsewhere, "x");
    assert.is(Object.keys(store.kept.choices).length, 2);
    one.backend.dispose();

    const refuse = () => Promise.reject(new Error("no room"));
    const failing = await tuned({ store: { place: "here", load: refuse, save: refuse }, with: two });
    await multiply(failing.backend);
    await failing.backend.tune!();
    await multiply(failing.backend);
    assert.equal(failing.told, ["here is ignored: no room", "choices of kernels are not kept: here: no room"]);
    failing.backend.dispose();
  });

  test("without tuning a backend has the fixed table's kernels, and gives the same bits twice", async () => {
    const bits: Float32Array[] = [];
    for (let i = 0; i < 2; i++) {
      const { backend, tuning } = await createBackend({ backend: "webgpu", tune: false });
      assert.is(backend.tune, undefined);
      assert.is(tuning, undefined);
      bits.push(await multiply(backend));
      backend.dispose();
    }
    assertSame(bits[1], bits[0], "y");
    const { software } = opened.info;
    const variants = families.matmul!.variants({ ...shape } as KernelArgs["matmul"], deviceFacts(opened.info));
    forced.plan = variants[0].plan as Variant<KernelName>["plan"];
    if (software) assertSame(bits[0], await multiply(backend), "y by the table's first variant");
  });

  test("a table that is given is taken as it is, and nothing is measured", async () => {
    const { tuner, backend } = await tuned({ with: two });
    await multiply(backend);
    await backend.tune!();
    const [of] = Object.keys(tuner.table.choices);
    const table = JSON.parse(JSON.stringify({ ...tuner.table, choices: { [of]: "other" } }));
    backend.dispose();
    const device = await open();
    let taken = 0;
    const counting: Variant<"matmul"> = {
      name: "other",
      plan(args, device) {
        taken++;
        return plain(args, device);
      },
    };
    const with_: Families = {
      matmul: { ...families.matmul!, variants: (args, facts) => [families.matmul!.variants(args, facts)[0], counting] },
    };
    const told: string[] = [];
    const given = await Tuner.open({ ...device, sources, table, families: with_, tell: (line) => told.push(line) });
    const second = new WebGpuBackend({ ...device, sources, chooser: given });
    try {
      await multiply(second);
      assert.is(taken, 1);
      await compute(
        "matmul",
        { ...shape, k: 3, a: a.slice(0, 9), b: b.slice(0, 3 * shape.n), y: blank(shape.m * shape.n) },
        { backend: second },
      );
      assert.is(second.tune!(), undefined);
      assert.equal(told, []);
    } finally {
      second.dispose();
    }
  });
}

test.after(closeBackend);
test.run();
