// `npm run bench:gpu`, the part that runs on the machine with the GPU, out of a folder with Node, Dawn and this file bundled: sizes that fill
// a GPU, our kernels beside the device's ceilings, and PyTorch's rows where python3 has it.

import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { UserError } from "../src/index.ts";
import { ceilings } from "./ceilings.ts";
import { wrongIn } from "./check.ts";
import { gpuTasks, type OpenTask } from "./gpu-tasks.ts";
import type { Row } from "./group.ts";
import { summary } from "./harness.ts";
import { gpuUsage, parseGpuOptions, UsageError } from "./options.ts";
import { openBackend } from "./ours.ts";
import { ceilingLine, type Group, markdown, meanLine, means, ourName, scored, slug, textLine } from "./report.ts";

const load = loadavg()[0];
const here = dirname(fileURLToPath(import.meta.url));
const about: { version: string; commit: string } = JSON.parse(readFileSync(join(here, "about.json"), "utf8"));

/** A sample is as many runs as take this long, then one element read: a readback weighs nothing beside it. */
const sampleMs = { full: 50, quick: 10 };

async function measure(task: OpenTask, { repeats, quick }: { repeats: number; quick: boolean }) {
  const timed = async (count: number) => {
    const started = performance.now();
    for (let i = 0; i < count; i++) await task.enqueue();
    await task.finish();
    return performance.now() - started;
  };
  await timed(1);
  let count = 1;
  while ((await timed(count)) < sampleMs[quick ? "quick" : "full"] && count < 4096) count *= 2;
  const times: number[] = [];
  for (let i = 0; i < repeats; i++) times.push((await timed(count)) / count);
  return summary(times);
}

/** PyTorch's rows, of a script that prints them as JSON lines; why there are none, otherwise. */
function torchRows(quick: boolean, repeats: number): { rows: Row[] } | { missing: string } {
  const words = [join(here, "torch_rows.py"), "--repeats", String(repeats), ...(quick ? ["--quick"] : [])];
  try {
    const lines = execFileSync("python3", words, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    const parsed = lines
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    return parsed[0].missing ? { missing: parsed[0].missing } : { rows: parsed };
  } catch {
    return { missing: "python3 is missing or its script failed" };
  }
}

async function main(): Promise<void> {
  const { help, quick, json, repeats, tune } = parseGpuOptions(process.argv.slice(2));
  if (help) {
    console.log(gpuUsage);
    return;
  }
  const print = (line: string) => {
    if (!json && line) console.log(line);
  };
  const { backend, tuning } = await openBackend("webgpu", { tune });
  const { description, software } = backend.adapter;
  const troubles: string[] = [];
  if (software) troubles.push(`rows of a hardware GPU are missing: there was none, ${description} is a CPU at work`);
  const group: Group = {
    title: `Node ${process.versions.node}, WebGPU on ${description}`,
    device: "webgpu",
    rows: [],
    troubles,
    ceilings: {},
  };
  group.ceilings = await ceilings(backend);
  print(`${group.title}\n${ceilingLine(group.ceilings)}`);
  for (const task of gpuTasks({ quick })) {
    const { subject, shape, form, flops, bytes } = task;
    try {
      const open = await task.open(backend);
      await open.enqueue();
      await open.finish();
      await backend.tune?.();
      const reason = task.checked && wrongIn(task.checked, await open.result());
      if (reason) throw new Error(reason);
      const timing = await measure(open, { repeats, quick });
      open.dispose();
      const who = { engine: ourName, version: about.version, adapter: description, dtype: "f32" } as const;
      const row: Row = { subject, shape, form, flops, bytes, ...who, ...timing };
      group.rows.push(row);
      if (json) console.log(JSON.stringify(scored(row, group)));
      else print(textLine(scored(row, group)));
    } catch (error) {
      troubles.push(`${subject} ${shape} ${form}: ${error instanceof Error ? error.message : error}`);
      print(troubles[troubles.length - 1]);
    }
  }
  const torch = torchRows(quick, repeats);
  if ("missing" in torch) {
    troubles.push(`rows of PyTorch are missing: ${torch.missing}`);
    print(troubles[troubles.length - 1]);
  } else {
    group.rows.push(...torch.rows);
    print("");
    for (const row of group.rows.map((each) => scored(each, group)))
      if (json) console.log(JSON.stringify(row));
      else print(textLine(row));
    for (const mean of means(group)) print(meanLine(mean));
  }
  for (const [of, chosen] of Object.entries(tuning?.table.choices ?? {})) print(`${of}: ${chosen}`);
  backend.dispose();
  const date = new Date().toISOString().slice(0, 10);
  const heading = { subject: undefined, date, machine: description, commit: about.commit, load, repeats };
  const file = join(here, `gpu_${slug(description)}_${date.slice(0, 7).replace("-", "")}.md`);
  writeFileSync(file, markdown(heading, [group]));
  console.error(file);
}

try {
  await main();
} catch (error) {
  const usage = error instanceof UsageError;
  if (!usage && !(error instanceof UserError)) throw error;
  console.error(error.message);
  process.exitCode = usage ? 2 : 1;
}
