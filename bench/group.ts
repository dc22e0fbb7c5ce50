// One device, all who compute on it, one task after another: checked, then timed in turns. Runs in a page and in Node.

import type { Backend } from "../src/backend/backend.ts";
import { WebGpuBackend } from "../src/backend/webgpu/backend.ts";
import type { CheckpointTensors } from "../src/nn/model.ts";
import { wrongIn, wrongLoss } from "./check.ts";
import { type Contestant, type Engine, interleave, type Timing } from "./harness.ts";
import { type Device, openBackend, ours, recipeModel } from "./ours.ts";
import { bytesOf, flopsOf, formOf, shapeOf, type Task } from "./tasks.ts";

/** Plain data: it crosses to the page. */
export interface GroupPlan {
  readonly device: Device;
  /** of the cpu device; undefined: as many as the machine has */
  readonly threads?: number;
  readonly tasks: readonly Task[];
  readonly repeats: number;
  /** versions by the peer's package name; empty: ours alone */
  readonly peers: Readonly<Record<string, string>>;
  /** ours */
  readonly version: string;
}

/** One engine's time for one task. */
export interface Row extends Timing {
  readonly subject: string;
  readonly shape: string;
  readonly form: string;
  readonly dtype: "f32";
  readonly engine: string;
  readonly version: string;
  readonly adapter: string;
  readonly flops: number;
  readonly bytes: number;
}

export interface Ceilings {
  /** multiply-adds in registers */
  readonly gflops?: number;
  /** bytes read plus bytes written by a copy, in 10^9 a second */
  readonly gigabytes?: number;
}

export type Event =
  | { readonly event: "ceilings"; readonly ceilings: Ceilings }
  | { readonly event: "task"; readonly rows: readonly Row[] }
  /** an engine that computed something else, or could not: no row of it counts */
  | { readonly event: "wrong"; readonly engine: string; readonly task: string; readonly reason: string }
  /** an engine that does not run here */
  | { readonly event: "missing"; readonly engine: string; readonly reason: string };

/** Opens the peers of a device. Only pages have some. */
export type OpenPeers = (plan: GroupPlan, missing: (engine: string, reason: string) => void) => Promise<Engine[]>;

/** Steps whose losses are compared before a step is timed. */
const checkedSteps = 3;

export async function runGroup(
  plan: GroupPlan,
  { report, openPeers }: { report: (event: Event) => void | Promise<void>; openPeers?: OpenPeers },
): Promise<void> {
  const backend = await openBackend(plan.device, { threads: plan.threads });
  const missing = (engine: string, reason: string) => void report({ event: "missing", engine, reason });
  const engines = [ours(backend, plan.version), ...((await openPeers?.(plan, missing)) ?? [])];
  await report({ event: "ceilings", ceilings: await ceilings(backend) });
  const model = recipeModel(backend);
  const weights = await model.checkpoint();
  model.dispose();
  for (const task of plan.tasks) await report(await runTask(task, { engines, weights, report, plan }));
  for (const engine of engines) engine.close();
}

async function runTask(
  task: Task,
  {
    engines,
    weights,
    report,
    plan,
  }: { engines: readonly Engine[]; weights: CheckpointTensors; report: (event: Event) => unknown; plan: GroupPlan },
): Promise<Event> {
  const able: { engine: Engine; contestant: Contestant }[] = [];
  let losses: number[] | undefined;
  for (const engine of engines) {
    let contestant: Contestant | undefined;
    let reason: string | undefined;
    try {
      contestant = await engine.prepare(task, weights);
      if (!contestant) continue;
      if (task.subject === "step") {
        const found: number[] = [];
        for (let step = 0; step < checkedSteps; step++) found.push((await contestant.run())[0]);
        losses ??= found;
        reason = wrongLoss(found, losses);
      } else {
        reason = wrongIn(task, await contestant.run());
        await contestant.run();
      }
    } catch (error) {
      reason = error instanceof Error ? error.message : String(error);
    }
    if (reason === undefined && contestant) able.push({ engine, contestant });
    else {
      const words = [task.subject, shapeOf(task), formOf(task)].filter(Boolean).join(" ");
      await report({ event: "wrong", engine: engine.name, task: words, reason: reason ?? "" });
      contestant?.dispose?.();
    }
  }
  const timings = await interleave(
    able.map(({ contestant }) => contestant),
    plan,
  );
  for (const { contestant } of able) contestant.dispose?.();
  const what = { subject: task.subject, shape: shapeOf(task), form: formOf(task), dtype: "f32" } as const;
  const work = { flops: flopsOf(task), bytes: bytesOf(task) };
  const rows = able.map(({ engine: { name, version, adapter } }, i): Row => {
    return { ...what, ...work, engine: name, version, adapter, ...timings[i] };
  });
  return { event: "task", rows };
}

/** Rates of kernels that do nothing but arithmetic, or nothing but move memory: the best of some runs, since a ceiling is what can be
 *  had. Times double until the readback's own no longer matters. */
async function ceilings(backend: Backend): Promise<Ceilings> {
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
