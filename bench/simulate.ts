// Real steps against simulated ones: this machine is calibrated, then trains on meshes of ranks in one process, each of which is
// simulated too.

import { mkdirSync, writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join } from "node:path";
import { createBackend, parseModelConfig } from "../src/index.ts";
import { meshShape } from "../src/parallel/shape.ts";
import { calibrate } from "../src/plan/calibrate.ts";
import { median } from "../src/plan/distribution.ts";
import { stepSeconds } from "../src/plan/observe.ts";
import { parametersOf } from "../src/plan/record-step.ts";
import { recordRanks, simulate } from "../src/plan/simulate.ts";
import type { Options } from "./options.ts";
import { slug } from "./report.ts";

interface Size {
  readonly width: number;
  readonly layers: number;
  readonly batch: number;
  readonly context: number;
}

const sizes: readonly Size[] = [
  { width: 96, layers: 2, batch: 8, context: 32 },
  { width: 128, layers: 4, batch: 16, context: 64 },
  { width: 320, layers: 2, batch: 8, context: 96 },
];

const shapes = [
  meshShape({ layout: "serial" }),
  meshShape({ layout: "1d", dims: [2] }),
  meshShape({ layout: "1d", dims: [4] }),
  meshShape({ layout: "1d-sp", dims: [4] }),
  meshShape({ dims: [2, 2] }),
  meshShape({ dims: [2, 2, 2] }),
];

interface Row {
  readonly mesh: string;
  readonly size: string;
  readonly real: number;
  readonly spread: readonly [number, number];
  readonly simulated: number;
}

const percent = (row: Row) => 100 * (row.simulated / row.real - 1);

export async function benchSimulate(
  { devices: kinds, threads, repeats, json, save }: Options,
  { machine, commit }: { machine: string; commit: string },
): Promise<void> {
  for (const kind of kinds) {
    const { backend } = await createBackend({ backend: kind, threads: threads[0], tune: false });
    const profile = await calibrate(backend, {
      name: "this machine",
      tell: (what) => console.error(`measuring ${what}`),
    });
    const rows: Row[] = [];
    for (const { width, layers, batch, context } of sizes)
      for (const shape of shapes) {
        const config = parseModelConfig({
          ...{ model_type: "gpt2", vocab_size: 65, n_positions: context, n_layer: layers, n_embd: width, n_head: 4 },
          bias: false,
        });
        const parameters = parametersOf({ batch, context, warmup: 1, beta2: 0.99 });
        const step = { shape, config, parameters };
        const times = await stepSeconds(backend, { step, warmup: 3, steps: repeats });
        const { seconds } = simulate(await recordRanks(step), { profile, devices: 1 });
        const row: Row = {
          mesh: `${shape.layout} ${shape.dims.join("x")}`,
          size: `${layers} layers of ${width}, ${batch} x ${context} tokens`,
          real: median(times),
          spread: [Math.min(...times), Math.max(...times)],
          simulated: seconds,
        };
        rows.push(row);
        if (json) console.log(JSON.stringify({ event: "simulated step", backend: kind, ...row }));
        else console.log(lineOf(row));
      }
    const error = median(rows.map((row) => Math.abs(percent(row))));
    console.log(
      `${kind}: median error ${error.toFixed(1)}% over ${rows.length} steps; load average ${loadavg()[0].toFixed(1)}`,
    );
    if (save) write({ kind, machine, commit, rows, error, adapter: backend.adapter.description });
    backend.dispose();
  }
}

const ms = (seconds: number) => (1e3 * seconds).toPrecision(3);

const lineOf = (row: Row): string =>
  `${row.mesh.padEnd(12)} ${row.size.padEnd(38)} real ${ms(row.real)} (${row.spread.map(ms).join(" to ")}) ms, simulated ${ms(row.simulated)} ms, ${percent(row).toFixed(1)}%`;

function write(told: {
  kind: string;
  machine: string;
  commit: string;
  adapter: string;
  rows: readonly Row[];
  error: number;
}): void {
  const { kind, machine, commit, adapter, rows, error } = told;
  const date = new Date().toISOString().slice(0, 10);
  const folder = join(process.cwd(), "bench/results");
  mkdirSync(folder, { recursive: true });
  const name = `simulate_${kind}-${slug(machine)}_${date.slice(0, 7).replace("-", "")}.md`;
  const text = [
    `# Real steps and simulated ones, ${kind}`,
    "",
    `${date}, ${machine}, commit ${commit}, load average ${loadavg()[0].toFixed(1)}; ${adapter}. All ranks in one process, on one device, calibrated in the same run. Real: median (fastest to slowest) of the steps after three.`,
    "",
    `Median error ${error.toFixed(1)}% over ${rows.length} steps.`,
    "",
    "| layout and mesh | model and batch | real, ms | simulated, ms | off by |",
    "|---|---|---|---|---|",
    ...rows.map(
      (row) =>
        `| ${row.mesh} | ${row.size} | ${ms(row.real)} (${row.spread.map(ms).join(" to ")}) | ${ms(row.simulated)} | ${percent(row).toFixed(1)}% |`,
    ),
    "",
  ].join("\n");
  writeFileSync(join(folder, name), text);
  console.error(`bench/results/${name}`);
}
