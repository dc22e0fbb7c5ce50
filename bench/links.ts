// `npm run bench -- links`: tensors from device to device over each link, beside what any link could reach in the same run, in headless
// Chromium and in Node.

import { mkdirSync, writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { bundle } from "../scripts/bundle.mjs";
import { setUp } from "../scripts/setup.mjs";
import { openBrowser } from "../test/browser/page.ts";
import { type LinkRow, type LinksEvent, type LinksPlan, runLinks } from "./links-run.ts";
import type { Options } from "./options.ts";
import { slug } from "./report.ts";

const root = process.cwd();
const pageTimeoutMs = 600_000;

/** A row with what it is measured by. */
interface ScoredLink extends LinkRow {
  /** of a message, there and back when it is empty */
  readonly messageUs: number;
  readonly gigabytesPerSecond?: number;
  /** a message's time of each row beside it over this one's */
  readonly ratios: Readonly<Record<string, number>>;
}

/** @param rows of one size */
export function scoredLinks(rows: readonly LinkRow[]): ScoredLink[] {
  const us = ({ medianMs, count }: LinkRow) => (1e3 * medianMs) / count;
  return rows.map((row) => ({
    ...row,
    messageUs: us(row),
    ...(row.bytes > 0 && { gigabytesPerSecond: row.bytes / us(row) / 1e3 }),
    ratios: Object.fromEntries(
      rows.filter(({ name }) => row.beside.includes(name)).map((other) => [other.name, us(other) / us(row)]),
    ),
  }));
}

const sizeText = (bytes: number): string =>
  bytes === 0 ? "empty, there and back" : bytes < 1 << 20 ? `${bytes >> 10} KB` : `${bytes >> 20} MB`;
const digits = (value: number) => value.toFixed(value < 10 ? 2 : value < 1000 ? 1 : 0);

/** Cells of a row. */
function cells({
  bytes,
  name,
  count,
  messageUs,
  fastestMs,
  slowestMs,
  gigabytesPerSecond,
  ratios,
}: ScoredLink): string[] {
  const us = (ms: number) => digits((1e3 * ms) / count);
  return [
    sizeText(bytes),
    name,
    `${digits(messageUs)} us (${us(fastestMs)} to ${us(slowestMs)})`,
    gigabytesPerSecond === undefined ? "" : `${digits(gigabytesPerSecond)} GB/s`,
    Object.entries(ratios)
      .map(([other, ratio]) => `${Math.round(100 * ratio)}% of ${other}`)
      .join(", "),
  ];
}
const heads = ["message", "over", "a message", "rate", "of what there is"];
const widths = [23, 19, 36, 14, 0];
const line = (row: readonly string[]) =>
  row
    .map((cell, at) => cell.padEnd(widths[at]))
    .join("")
    .trimEnd();

interface Place {
  readonly title: string;
  readonly adapter: string;
  readonly rows: readonly ScoredLink[];
}

/** heading: of the saved file, without its subject */
export async function benchLinks(
  options: Options,
  { machine, commit }: { machine: string; commit: string },
): Promise<void> {
  const { devices, repeats, where, json } = options;
  const load = loadavg()[0];
  const backend: LinksPlan["backend"] = devices.length > 1 ? "auto" : devices[0];
  const places: Place[] = [];
  const measure = async (title: string, run: (report: (event: LinksEvent) => void) => Promise<void>) => {
    const rows: ScoredLink[] = [];
    let adapter = "";
    const print = (text: string) => {
      if (!json) console.log(text);
    };
    await run((event) => {
      if (event.event === "device") {
        adapter = event.adapter;
        print(`\n${title}\n${adapter}; load average ${loadavg()[0].toFixed(1)}\n${line(heads)}`);
        return;
      }
      const scored = scoredLinks(event.rows);
      rows.push(...scored);
      for (const row of scored)
        if (json) console.log(JSON.stringify({ group: title, adapter, dtype: "f32", ...row }));
        else print(line(cells(row)));
    });
    places.push({ title, adapter, rows });
  };
  if (where.includes("chromium")) await inChromium({ backend, repeats }, measure);
  if (where.includes("node")) {
    const folder = process.env.SHARDGRAD_BENCH_FOLDER ?? join(root, "build/bench");
    const program = join(folder, "links-rank.mjs");
    await bundle({ entryPoints: ["bench/links-rank.ts"], outfile: program, logLevel: "error" });
    const plan = { backend, repeats, program: pathToFileURL(program).href };
    await measure(`Node ${process.versions.node}`, (report) => runLinks(plan, report));
  }
  if (options.save) save(places, { machine, commit, load, repeats });
}

async function inChromium(
  plan: Omit<LinksPlan, "program">,
  measure: (title: string, run: (report: (event: LinksEvent) => void) => Promise<void>) => Promise<void>,
): Promise<void> {
  process.env.CHROMIUM_PATH = (await setUp()).chromium;
  const outdir = join(process.env.SHARDGRAD_BENCH_FOLDER ?? join(root, "build/bench"), "page");
  const entryPoints = ["bench/links-page.ts", "bench/links-rank.ts"];
  await bundle({ entryPoints, outdir, splitting: true, platform: "browser", logLevel: "error" });
  const browser = await openBrowser({ root });
  try {
    const { page, use } = await browser.openPage();
    const chromium = page.context().browser()?.version().split(".")[0];
    const urlOf = (name: string) => `/${relative(root, join(outdir, name)).replaceAll("\\", "/")}`;
    await measure(`Chromium ${chromium}`, async (report) => {
      await page.exposeFunction("report", report);
      const inPage = async ({ url, rank, plan }: { url: string; rank: string; plan: Omit<LinksPlan, "program"> }) => {
        const { run } = await import(url);
        const program = new URL(rank, location.href).href;
        await run({ ...plan, program }, (globalThis as unknown as { report: unknown }).report);
      };
      const [url, rank] = [urlOf("links-page.js"), urlOf("links-rank.js")];
      await use((page) => page.evaluate(inPage, { url, rank, plan }), { timeoutMs: pageTimeoutMs });
    });
  } finally {
    await browser.close();
  }
}

interface Heading {
  readonly machine: string;
  readonly commit: string;
  readonly load: number;
  readonly repeats: number;
}

/** bench/results/links_<machine>_<yyyymm>.md */
function save(places: readonly Place[], { machine, commit, load, repeats }: Heading): void {
  const date = new Date().toISOString().slice(0, 10);
  const lines = [
    `# links on ${machine}`,
    "",
    `${date}, commit ${commit}, load average ${load.toFixed(1)} when it began. Median of at least ${repeats} rounds in turns (fastest to slowest) of f32 tensors`,
    "from one rank's device to another's. Bare port: a new array filled, transferred and copied out. Bare copy: from memory to memory on one",
    "thread. Bare data channel: 64 KB messages, from and to nowhere. Device alone: read and written, without a link. Over webrtc ranks are in the",
    "thread that holds their channels, as in a room; over workers, webrtc that thread passes on what ranks in workers send.",
  ];
  for (const { title, adapter, rows } of places) {
    lines.push("", `## ${title}`, "", `${adapter}.`, "");
    lines.push(`| ${heads.join(" | ")} |`, `|${"---|".repeat(heads.length)}`);
    for (const row of rows) lines.push(`| ${cells(row).join(" | ")} |`);
  }
  const folder = join(root, "bench/results");
  mkdirSync(folder, { recursive: true });
  const name = `links_${slug(machine)}_${date.slice(0, 7).replace("-", "")}.md`;
  writeFileSync(join(folder, name), `${lines.join("\n")}\n`);
  console.error(`bench/results/${name}`);
}
