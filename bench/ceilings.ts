// What a device can do at most, measured beside what it is made to do.

import type { Backend } from "../src/backend/backend.ts";
import { WebGpuBackend } from "../src/backend/webgpu/backend.ts";

export interface Ceilings {
  /** multiply-adds in registers */
  readonly gflops?: number;
  /** bytes read plus bytes written by a copy, in 10^9 a second */
  readonly gigabytes?: number;
}

/** Rates of kernels that do nothing but arithmetic, or nothing but move memory: the best of some runs, since a ceiling is what can be
 *  had. Times double until the readback's own no longer matters. */
export async function ceilings(backend: Backend): Promise<Ceilings> {
  if (!(backend instanceof WebGpuBackend)) return {};
  const threads = backend.adapter.software ? 4096 : 1 << 20;
  const copied = backend.adapter.software ? 1 << 20 : 1 << 22; // vec4, 16 bytes each
  const buffer = (length: number) => backend.allocate({ dtype: "f32", length, purpose: "scratch" });
  const [y, from, to] = [buffer(4 * threads), buffer(4 * copied), buffer(4 * copied)];
  const params = { factor: 0.5, term: 0.25 };
  const multiply = (rounds: number) =>
    backend.dispatch({
      ...{ shader: "multiplyAdd", buffers: { y }, params: { ...params, rounds } },
      workgroups: [threads / 64, 1, 1],
    });
  const copy = (times: number) => {
    for (let i = 0; i < times; i++)
      backend.dispatch({ shader: "copyRate", buffers: { x: from, y: to }, workgroups: [copied / 256, 1, 1] });
  };
  const flops = await rate((rounds) => multiply(rounds), { of: y, perUnit: 128 * threads, from: 64 });
  const bytes = await rate(copy, { of: to, perUnit: 32 * copied, from: 1 });
  for (const each of [y, from, to]) backend.free(each);
  return { gflops: flops / 1e9, gigabytes: bytes / 1e9 };

  async function rate(
    work: (units: number) => void,
    { of, perUnit, from }: { of: typeof y; perUnit: number; from: number },
  ) {
    const timed = async (units: number) => {
      const started = performance.now();
      work(units);
      await backend.read(of, 1);
      return performance.now() - started;
    };
    await timed(from); // compiles
    let units = from;
    while ((await timed(units)) < 50 && units < 1 << 24) units *= 2;
    let best = Infinity;
    for (let i = 0; i < 7; i++) best = Math.min(best, await timed(units));
    return (units * perUnit) / (best / 1e3);
  }
}
