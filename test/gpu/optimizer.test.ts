// AdamW against f64, and its refusal to learn from a gradient that is not finite.

import { test } from "uvu";
import { expected } from "./bounds.ts";
import { assertSame, assertWithin } from "./compare.ts";
import { closeBackend, compute } from "./harness.ts";
import type { AdamW } from "./oracle/optimizer.ts";
import { adamw } from "./oracle/optimizer.ts";
import { normal, repeated } from "./oracle/random.ts";

const plain: AdamW = {
  ...{ learningRate: 3e-4, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.1, clip: 0, lossScale: 1 },
  ...{ correction1: 1 - 0.9 ** 3, correction2: 1 - 0.999 ** 3 },
};

function state(n: number) {
  return {
    ...{ w: normal(n, { seed: 91, deviation: 0.02 }), g: normal(n, { seed: 92, deviation: 0.1 }) },
    ...{ m: normal(n, { seed: 93, deviation: 0.01 }), v: normal(n, { seed: 94, deviation: 0.01 }).map((e) => e * e) },
  };
}

async function check(n: number, { settings, normSquared }: { settings: AdamW; normSquared: number }): Promise<void> {
  const before = state(n);
  const norm = Float32Array.of(normSquared);
  const after = await compute("adamw", { ...before, ...settings, n, normSquared: norm });
  const wanted = Array.from({ length: n }, (_, i) =>
    adamw({ w: before.w[i], g: before.g[i], m: before.m[i], v: before.v[i], normSquared: norm[0] }, settings),
  );
  for (const name of ["m", "v", "w"] as const)
    assertWithin(
      after[name],
      expected(n, (i) => wanted[i][name]),
      name,
    );
}

for (const n of [1, 3, 255, 1021, 1028]) {
  test(`adamw of ${n}: w, m and v within the bound of f64`, () => check(n, { settings: plain, normSquared: 12.5 }));
}
test("adamw: beta2 0.99 and no weight decay, late in a run", () =>
  check(517, {
    settings: { ...plain, beta2: 0.99, weightDecay: 0, correction1: 1, correction2: 1 - 0.99 ** 500 },
    normSquared: 1,
  }));
test("adamw: clips a gradient longer than clip, leaves a shorter one", async () => {
  await check(131, { settings: { ...plain, clip: 1 }, normSquared: 50 });
  await check(131, { settings: { ...plain, clip: 1 }, normSquared: 0.04 });
  await check(131, { settings: { ...plain, clip: 2 }, normSquared: 4 });
});
test("adamw: a gradient and a norm times 65536 are taken for what they are, clipped and not", async () => {
  for (const [clip, norm] of [
    [0, 3],
    [1, 50],
    [1, 0.04],
  ])
    await check(131, { settings: { ...plain, clip, lossScale: 65536 }, normSquared: norm * 65536 ** 2 });
});
test("adamw: clip / (norm + 1e-6) for norms as small as 1e-6, and 0", async () => {
  await check(131, { settings: { ...plain, clip: 1e-6 }, normSquared: 1e-12 });
  await check(131, { settings: { ...plain, clip: 0.5e-6 }, normSquared: 0 });
});
test("adamw of 4194241: more than 65535 workgroups of 64, like elements alike", async () => {
  const [n, period] = [65535 * 64 + 1, 1021];
  const few = state(period);
  const many = { w: repeated(few.w, n), g: repeated(few.g, n), m: repeated(few.m, n), v: repeated(few.v, n) };
  const normSquared = Float32Array.of(1);
  const wanted = await compute("adamw", { ...few, ...plain, n: period, normSquared });
  const after = await compute("adamw", { ...many, ...plain, n, normSquared });
  for (const name of ["w", "m", "v"] as const) assertSame(after[name], repeated(wanted[name], n), name);
});

test("adamw: the first step from zero moments moves each weight by the learning rate against its gradient's sign", async () => {
  const n = 65;
  const before = { ...state(n), m: new Float32Array(n), v: new Float32Array(n) };
  const settings = { ...plain, weightDecay: 0, correction1: 1 - 0.9, correction2: 1 - 0.999 };
  const after = await compute("adamw", { ...before, ...settings, n, normSquared: Float32Array.of(1) });
  const wanted = expected(n, (i) => adamw({ w: before.w[i], g: before.g[i], m: 0, v: 0, normSquared: 1 }, settings).w);
  assertWithin(after.w, wanted, "w");
  for (let i = 0; i < n; i++) {
    const moved = (before.w[i] - after.w[i]) / settings.learningRate;
    if (Math.abs(moved - Math.sign(before.g[i])) > 1e-3) throw new Error(`w[${i}] moved by ${moved} learning rates`);
  }
});

for (const bad of [Number.POSITIVE_INFINITY, Number.NaN]) {
  test(`adamw with normSquared ${bad}: w, m and v keep every bit, with and without clipping`, async () => {
    for (const clip of [0, 1]) {
      const before = state(133);
      before.g[7] = bad;
      const after = await compute("adamw", { ...before, ...plain, clip, n: 133, normSquared: Float32Array.of(bad) });
      for (const name of ["w", "m", "v"] as const) assertSame(after[name], before[name], name);
    }
  });
}

test.after(closeBackend);
test.run();
