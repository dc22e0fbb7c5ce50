// Rows in words: beside the ceilings of the same run and the best peer on the same device; as text, JSON lines and markdown.

import type { Ceilings } from "./ceilings.ts";
import type { Event, Row } from "./group.ts";
import { geometricMean } from "./harness.ts";
import type { Device } from "./ours.ts";

/** One device's results. */
export interface Group {
  /** where and on what, such as "Chromium 156, WebGPU" */
  readonly title: string;
  readonly device: Device;
  readonly rows: Row[];
  readonly troubles: string[];
  ceilings: Ceilings;
}

export const ourName = "shardgrad";
const sameTask = (a: Row, b: Row) =>
  a.subject === b.subject && a.shape === b.shape && a.form === b.form && a.dtype === b.dtype;

/** A row with what it is measured by. */
export interface Scored extends Row {
  readonly gflops?: number;
  readonly gigabytes?: number;
  /** of the ceiling that binds it: arithmetic, or memory where no arithmetic counts */
  readonly ofCeiling?: number;
  /** on our row: the fastest peer, and its median over ours */
  readonly bestPeer?: string;
  readonly ratio?: number;
  /** the same of the fastest rounds, which a busy machine disturbs least */
  readonly fastestRatio?: number;
}

export function scored(row: Row, { rows, ceilings }: Pick<Group, "rows" | "ceilings">): Scored {
  const gflops = row.flops > 0 ? row.flops / row.medianMs / 1e6 : undefined;
  const gigabytes = row.bytes > 0 ? row.bytes / row.medianMs / 1e6 : undefined;
  const [rate, ceiling] = gflops === undefined ? [gigabytes, ceilings.gigabytes] : [gflops, ceilings.gflops];
  const ofCeiling = rate !== undefined && ceiling !== undefined ? rate / ceiling : undefined;
  const peers = row.engine === ourName ? rows.filter((other) => other.engine !== ourName && sameTask(other, row)) : [];
  const best = peers.toSorted((a, b) => a.medianMs - b.medianMs).at(0);
  const ratio = best && best.medianMs / row.medianMs;
  const fastestRatio = best && Math.min(...peers.map(({ fastestMs }) => fastestMs)) / row.fastestMs;
  return { ...row, gflops, gigabytes, ofCeiling, bestPeer: best?.engine, ratio, fastestRatio };
}

interface Mean {
  readonly subject: string;
  /** how many times as fast as the best peer: geometric mean of our rows' ratios */
  readonly ratio: number;
  readonly fastestRatio: number;
  readonly tasks: number;
}

/** One a subject that has peers. */
export function means(group: Pick<Group, "rows" | "ceilings">): Mean[] {
  const ours = group.rows.map((row) => scored(row, group)).filter(({ ratio }) => ratio !== undefined);
  return [...new Set(ours.map(({ subject }) => subject))].map((subject) => {
    const rows = ours.filter((row) => row.subject === subject);
    const mean = (of: (row: Scored) => number | undefined) => geometricMean(rows.map((row) => of(row) as number));
    const fastestRatio = mean((row) => row.fastestRatio);
    return { subject, ratio: mean(({ ratio }) => ratio), fastestRatio, tasks: rows.length };
  });
}

const digits = (value: number) => value.toFixed(value < 10 ? 2 : 1);
const time = ({ medianMs, fastestMs, slowestMs }: Row) =>
  `${digits(medianMs)} (${digits(fastestMs)} to ${digits(slowestMs)})`;
const rate = ({ gflops, gigabytes }: Scored) =>
  gflops !== undefined ? `${digits(gflops)} GFLOP/s` : gigabytes !== undefined ? `${digits(gigabytes)} GB/s` : "";
const share = ({ ofCeiling }: Scored) => (ofCeiling === undefined ? "" : `${Math.round(100 * ofCeiling)}%`);
const beside = ({ ratio, bestPeer }: Scored) => (ratio === undefined ? "" : `${ratio.toFixed(2)} x ${bestPeer}`);

export function ceilingLine({ gflops, gigabytes }: Ceilings): string {
  const parts = [
    gflops !== undefined && `${digits(gflops)} GFLOP/s of multiply-adds in registers`,
    gigabytes !== undefined && `${digits(gigabytes)} GB/s copied (read and written)`,
  ].filter(Boolean);
  return parts.length > 0 ? `ceilings of this run: ${parts.join(", ")}` : "";
}

export function textLine(row: Scored): string {
  const name = [row.subject, row.shape, row.form].filter(Boolean).join(" ");
  const columns = [name.padEnd(38), row.engine.padEnd(18), `${time(row)} ms`.padEnd(30), rate(row).padStart(15)];
  return [...columns, share(row).padStart(5), beside(row)].join("  ").trimEnd();
}

export const meanLine = ({ subject, ratio, fastestRatio, tasks }: Mean): string =>
  `${subject}: ${ratio.toFixed(2)} times as fast as the best peer (geometric mean of ${tasks}; ${fastestRatio.toFixed(2)} by the fastest rounds)`;

/** What an event says beyond its rows. */
export function trouble(event: Exclude<Event, { event: "ceilings" | "task" }>): string {
  if (event.event === "missing") return `${event.engine} does not run here: ${event.reason}`;
  return `${event.engine} is wrong, its time does not count: ${event.task} ${event.reason}`;
}

export interface Heading {
  /** undefined: all of them, in one table */
  readonly subject: string | undefined;
  readonly date: string;
  readonly machine: string;
  readonly commit: string;
  /** threads waiting for a core when the run began: above 0 others were at work too */
  readonly load: number;
  readonly repeats: number;
}

/** One subject's results on a machine. */
export function markdown(heading: Heading, groups: readonly Group[]): string {
  const { subject, date, machine, commit, load, repeats } = heading;
  const lines = [
    `# ${subject ?? "kernels and a training step"} on ${machine}`,
    "",
    `${date}, commit ${commit}, load average ${load.toFixed(1)} when it began. Milliseconds are the median of at least ${repeats} rounds in turns (fastest to slowest), results read back. "x peer":`,
    "the best peer's median over ours, on the same device in the same run.",
  ];
  for (const group of groups) {
    const rows = group.rows.filter((row) => subject === undefined || row.subject === subject);
    if (rows.length === 0) continue;
    const versions = [...new Set(rows.map(({ engine, version }) => `${engine} ${version}`))];
    lines.push("", `## ${group.title}`, "");
    lines.push(`${rows[0].adapter}. ${versions.join(", ")}.`);
    const line = ceilingLine(group.ceilings);
    if (line) lines.push(`${line[0].toUpperCase()}${line.slice(1)}.`);
    lines.push("", "| task | dtype | engine | ms | rate | of ceiling | x peer |", "|---|---|---|---|---|---|---|");
    for (const row of rows.map((each) => scored(each, group))) {
      const task = [subject === undefined ? row.subject : "", row.shape, row.form].filter(Boolean).join(" ");
      const cells = [task, row.dtype, row.engine, time(row), rate(row), share(row), beside(row)];
      lines.push(`| ${cells.join(" | ")} |`);
    }
    const mean = means({ ...group, rows });
    if (mean.length > 0) lines.push("", ...mean.map(meanLine));
    if (group.troubles.length > 0) lines.push("", ...group.troubles.map((each) => `- ${each}`));
  }
  return `${lines.join("\n")}\n`;
}

/** What a file's name says of a machine or device: lower-case words with dashes. */
export const slug = (text: string): string =>
  text
    .toLowerCase()
    .replace(/\(.*?\)/g, "")
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");
