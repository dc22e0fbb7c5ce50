// Real steps against simulated ones: this machine is calibrated, then trains on meshes of ranks in one process, each of which is
// simulated too. In several rounds, each calibrated anew: a shared machine is a third faster in one minute than in the next, and what is
// wrong with the simulation is what stays.

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

interface Round {
  readonly real: number;
  readonly spread: readonly [number, number];
  readonly simulated: number;
}

interface Row {
  readonly mesh: string;
  readonly size: string;
  readonly rounds: readonly Round[];
}

const rounds = 3;

const percent = ({ simulated, real }: Round) => 100 * (simulated / real - 1);

const medianOff = (row: Row) => median(row.rounds.map(percent));

const medianError = (percents: readonly number[]) => median(percents.map(Math.abs));

/** Each round's own error, as if there were no other. */
const errorsByRound = (rows: readonly Row[]) =>
  Array.from({ length: rounds }, (_, i) => medianError(rows.map((row) => percent(row.rounds[i]))));

const cases = sizes.flatMap(({ width, layers, batch, context }) =>
  shapes.map((shape) => {
    const config = parseModelConfig({
      ...{ model_type: "gpt2", vocab_size: 65, n_positions: context, n_layer: layers, n_embd: width, n_head: 4 },
      bias: false,
    });
    const parameters = parametersOf({ batch, context, warmup: 1, beta2: 0.99 });
    return {
      step: { shape, config, parameters },
      mesh: `${shape.layout} ${shape.dims.join("x")}`,
      size: `${layers} layers of ${width}, ${batch} x ${context} tokens`,
    };
  }),
);

export async function benchSimulate(
  { devices: kinds, threads, repeats, json, save }: Options,
  { machine, commit }: { machine: string; commit: string },
): Promise<void> {
  for (const kind of kinds) {
    const { backend } = await createBackend({ backend: kind, threads: threads[0], tune: false });
    const rows = cases.map(({ mesh, size }) => ({ mesh, size, rounds: [] as Round[] }));
    for (let round = 1; round <= rounds; round++) {
      const profile = await calibrate(backend, {
        name: "this machine",
        tell: (what) => console.error(`round ${round} of ${rounds}: measuring ${what}`),
      });
      for (const [i, { step }] of cases.entries()) {
        const times = await stepSeconds(backend, { step, warmup: 3, steps: repeats });
        const { seconds } = simulate(await recordRanks(step), { profile, devices: 1 });
        const spread = [Math.min(...times), Math.max(...times)] as const;
        rows[i].rounds.push({ real: median(times), spread, simulated: seconds });
      }
    }
    for (const row of rows)
      console.log(json ? JSON.stringify({ event: "simulated step", backend: kind, ...row }) : lineOf(row));
    const error = medianError(rows.map(medianOff));
    const byRound = errorsByRound(rows).map((each) => `${each.toFixed(1)}%`);
    console.log(
      `${kind}: median error ${error.toFixed(1)}% over ${rows.length} steps (rounds by themselves ${byRound.join(", ")}); load average ${loadavg()[0].toFixed(1)}`,
    );
    if (save) write({ kind, machine, commit, rows, error, byRound, adapter: backend.adapter.description });
    backend.dispose();
  }
}

const ms = (seconds: number) => (1e3 * seconds).toPrecision(3);

const realText = ({ real, spread }: Round) => `${ms(real)} (${spread.map(ms).join(" to ")})`;
const realTexts = (row: Row) => row.rounds.map(realText).join(", ");
const simulatedTexts = (row: Row) => row.rounds.map(({ simulated }) => ms(simulated)).join(", ");

const lineOf = (row: Row): string =>
  `${row.mesh.padEnd(12)} ${row.size.padEnd(34)} real ${realTexts(row)} ms, simulated ${simulatedTexts(row)} ms, ${medianOff(row).toFixed(1)}%`;

function write(told: {
  kind: string;
  machine: string;
  commit: string;
  adapter: string;
  rows: readonly Row[];
  error: number;
  byRound: readonly string[];
}): void {
  const { kind, machine, commit, adapter, rows, error, byRound } = told;
  const date = new Date().toISOString().slice(0, 10);
  const folder = join(process.cwd(), "bench/results");
  mkdirSync(folder, { recursive: true });
  const name = `simulate_${kind}-${slug(machine)}_${date.slice(0, 7).replace("-", "")}.md`;
  const text = [
    `# Real steps and simulated ones, ${kind}`,
    "",
    `${date}, ${machine}, commit ${commit}, load average ${loadavg()[0].toFixed(1)}; ${adapter}. All ranks in one process, on one device. ${rounds} rounds, each calibrated anew. Real: median (fastest to slowest) of the steps after three. Off by: the median of the rounds.`,
    "",
    `Median error ${error.toFixed(1)}% over ${rows.length} steps; of the rounds by themselves ${byRound.join(", ")}.`,
    "",
    "| layout and mesh | model and batch | real, ms | simulated, ms | off by |",
    "|---|---|---|---|---|",
    ...rows.map(
      (row) =>
        `| ${row.mesh} | ${row.size} | ${realTexts(row)} | ${simulatedTexts(row)} | ${medianOff(row).toFixed(1)}% |`,
    ),
    "",
  ].join("\n");
  writeFileSync(join(folder, name), text);
  console.error(`bench/results/${name}`);
}
