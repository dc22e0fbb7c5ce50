// One device, all who compute on it, one task after another: checked, then timed in turns. Runs in a page and in Node.

import { WebGpuBackend } from "../src/backend/webgpu/backend.ts";
import type { CheckpointTensors } from "../src/nn/model.ts";
import { type Ceilings, ceilings } from "./ceilings.ts";
import { wrongIn, wrongLoss } from "./check.ts";
import { type Contestant, type Engine, interleave, type Timing } from "./harness.ts";
import { type Device, openBackend, ours, recipeModel } from "./ours.ts";
import { bytesOf, flopsOf, formOf, shapeOf, type Task } from "./tasks.ts";
import { textbook } from "./textbook.ts";

/** Plain data: it crosses to the page. */
export interface GroupPlan {
  readonly device: Device;
  /** of the cpu device; undefined: as many as the machine has */
  readonly threads?: number;
  readonly tasks: readonly Task[];
  readonly repeats: number;
  /** whether ours on WebGPU takes the fastest variants of its kernels, or the fixed ones */
  readonly tune: boolean;
  /** versions by the peer's package name; empty: ours alone */
  readonly peers: Readonly<Record<string, string>>;
  /** ours */
  readonly version: string;
  /** whether textbook kernels take part in products on WebGPU */
  readonly textbook: boolean;
}

/** One engine's time for one task. */
export interface Row extends Timing {
  readonly subject: string;
  readonly shape: string;
  readonly form: string;
  readonly dtype: "f32" | "f16";
  readonly engine: string;
  readonly version: string;
  readonly adapter: string;
  readonly flops: number;
  readonly bytes: number;
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
  const { backend } = await openBackend(plan.device, plan);
  const missing = (engine: string, reason: string) => void report({ event: "missing", engine, reason });
  const engines = [ours(backend, plan.version), ...((await openPeers?.(plan, missing)) ?? [])];
  if (plan.textbook && backend instanceof WebGpuBackend) engines.push(...textbook(backend));
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
        while (found.length < checkedSteps && reason === undefined) {
          found.push((await contestant.run())[0]);
          reason = losses && wrongLoss(found, losses);
        }
        losses ??= found;
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
