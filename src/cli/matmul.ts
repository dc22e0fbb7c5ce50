// `shardgrad matmul`: one product of random matrices on a mesh, its words against the closed form and the lower bound, its time and its
// error. The run itself is cluster/matmul.ts.

import { totalmem } from "node:os";
import { type Command, Option } from "commander";
import { measureProduct, type ProductResult } from "../cluster/matmul.ts";
import type { ProductRun, Timing } from "../cluster/product-rank.ts";
import type { Form } from "../parallel/operands.ts";
import { layoutNames, type MeshShape } from "../parallel/shape.ts";
import {
  addBackendOptions,
  addLinkOption,
  addMeshOptions,
  addTuneOption,
  type BackendFlags,
  jsonOption,
  type LinkFlags,
  type MeshFlags,
  openRanks,
  shapeOf,
  wholeNumber,
} from "./common.ts";
import { countText, Output } from "./output.ts";
import { addTraceOption, prepareTrace, type TraceFlags, writeTrace } from "./trace.ts";
import { addWireOption, type WireFlags } from "./wire.ts";

const numbers = {
  m: { help: "rows of the result", fallback: 512 },
  n: { help: "columns of the result", fallback: 512 },
  k: { help: "extent that is summed over", fallback: 512 },
  repeats: { help: "timed products, after one that is not", fallback: 5 },
} as const;

/** 1d-sp is about what lies between products: a product alone is 1d's. */
const productLayouts = layoutNames.filter((name) => name !== "1d-sp");

type Numbers = Record<keyof typeof numbers, number>;

export function addMatmul(program: Command): void {
  const command = program
    .command("matmul")
    .description("multiply two random matrices on a mesh: words moved, lower bound, time, error");
  for (const [name, { help, fallback }] of Object.entries(numbers))
    command.option(`--${name} <number>`, `${help} (default: ${fallback})`);
  addTuneOption(addBackendOptions(addLinkOption(addMeshOptions(command, productLayouts))))
    .addOption(
      new Option("--form <name>", "A B, A times B transposed, or A transposed times B")
        .choices(["AB", "ABT", "ATB"])
        .default("AB"),
    )
    .addOption(jsonOption())
    .action(runMatmul);
  addWireOption(addTraceOption(command));
}

interface MatmulOptions
  extends MeshFlags,
    BackendFlags,
    LinkFlags,
    TraceFlags,
    WireFlags,
    Partial<Record<keyof Numbers, string>> {
  form: Form;
  json: boolean;
}

async function runMatmul(options: MatmulOptions): Promise<void> {
  const { repeats, ...size } = numbersOf(options);
  const shape = shapeOf(options);
  const { form, wire } = options;
  const output = new Output(options.json);
  await prepareTrace(options);
  const { where, note, dispose } = await openRanks(options);
  try {
    output.say(note);
    // The same numbers in every run; what a device of its own memory cannot hold it refuses itself.
    const traced = options.trace !== undefined;
    const run: ProductRun = { shape, form, size, repeats, seed: 1, maxBytes: totalmem(), trace: traced, wire };
    const { timeline, ...result } = await measureProduct(where, run);
    const mesh = { layout: shape.layout, dims: shape.dims };
    output.event({ event: "matmul", ...size, form, mesh, ...result });
    for (const line of lines(result, { ...run, link: options.link })) output.say(line);
    if (options.trace !== undefined && timeline)
      await writeTrace(options.trace, { timeline, what: `${repeats} products`, output });
    if (!result.equal || !(result.error.worst <= 1)) process.exitCode = 1;
  } finally {
    dispose();
  }
}

/** @throws UserError for what is no whole number from 1 */
function numbersOf(options: MatmulOptions): Numbers {
  const parsed = Object.entries(numbers).map(([name, { fallback }]) => {
    const text = options[name as keyof Numbers];
    return [name, text === undefined ? fallback : wholeNumber(name, text, fallback)];
  });
  return Object.fromEntries(parsed);
}

function lines(
  result: Omit<ProductResult, "timeline">,
  { shape, form, size, repeats, link, wire }: ProductRun & LinkFlags,
): string[] {
  const { m, n, k } = size;
  const factors = {
    AB: `[${m}, ${k}] [${k}, ${n}]`,
    ABT: `[${m}, ${k}] [${n}, ${k}]T`,
    ATB: `[${k}, ${m}]T [${k}, ${n}]`,
  };
  const { ranks, error, time } = result;
  const devices = link === "loopback" ? "on this one device" : "on devices of their own";
  return [
    `${form}: ${factors[form]} on ${productMeshText(shape)}`,
    "",
    ...rankTable(ranks),
    "",
    ...(wire === "f16" ? [bytesLine(ranks)] : []),
    boundText(result),
    `error        at most ${error.worst.toPrecision(2)} of ${wire === "f16" ? `what f16 on the wire and gamma(${k}) allow` : `gamma(${k}) |a||b|`}, ${countText(error.checked)} of ${countText(m * n)} elements against f64`,
    `mesh         ${timingText(time.mesh, repeats)}, ${shape.size === 1 ? "one rank" : `${shape.size} ranks ${devices}`}`,
    time.serial
      ? `one product  ${timingText(time.serial, repeats)}`
      : "one product  not measured: a whole matrix does not fit a buffer of this device",
  ];
}

const productMeshText = ({ layout, dims }: MeshShape): string =>
  layout === "serial" ? "one rank" : `${layout} ${dims.join("x")}`;

/** Ranks that follow each other and received alike share a line. */
function rankTable(ranks: ProductResult["ranks"]): string[] {
  const columns = ["rank", "words received", "closed form", "", "messages"];
  const rows: string[][] = [];
  let first = 0;
  for (const [rank, report] of ranks.entries()) {
    const next = ranks[rank + 1];
    const alike =
      next?.wordsReceived === report.wordsReceived &&
      next.closedFormWords === report.closedFormWords &&
      next.messages === report.messages &&
      next.closedFormMessages === report.closedFormMessages;
    if (alike) continue;
    rows.push(rankRow(first === rank ? `${rank}` : `${first}-${rank}`, [report]));
    first = rank + 1;
  }
  if (ranks.length > 1) rows.push(rankRow("all", ranks));
  const widths = columns.map((title, at) => Math.max(title.length, ...rows.map((row) => row[at].length)));
  return [columns, ...rows].map((row) => row.map((cell, at) => cell.padStart(widths[at])).join("  "));
}

function rankRow(name: string, reports: ProductResult["ranks"]): string[] {
  const sum = (of: keyof ProductResult["ranks"][number]) => reports.reduce((total, each) => total + each[of], 0);
  const [words, closed, messages] = [sum("wordsReceived"), sum("closedFormWords"), sum("messages")];
  const equal = words === closed && messages === sum("closedFormMessages");
  return [name, countText(words), countText(closed), equal ? "equal" : "DIFFERS", countText(messages)];
}

const bytesLine = (ranks: ProductResult["ranks"]): string =>
  `wire         f16: ${countText(Math.max(...ranks.map(({ bytesReceived }) => bytesReceived)))} bytes to the busiest rank, half of f32's`;

function boundText({
  lowerBoundWords,
  replicationWords,
  score,
}: Pick<ProductResult, "lowerBoundWords" | "replicationWords" | "score">): string {
  if (score === undefined) return "lower bound  0 words: one rank has nothing to receive";
  const copies = replicationWords > 0 ? `, the ${countText(replicationWords)} of B's copies over depth included` : "";
  return `lower bound  ${countText(lowerBoundWords)} words on some rank; the busiest one here takes ${score.toFixed(2)} times that${copies}`;
}

function timingText({ ms, medianMs, gflops }: Timing, repeats: number): string {
  const [least, most] = [Math.min(...ms), Math.max(...ms)];
  return `${medianMs.toFixed(2)} ms (${least.toFixed(2)} to ${most.toFixed(2)} in ${repeats}), ${gflops.toFixed(2)} GFLOP/s`;
}
