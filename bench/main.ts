// `npm run bench`: runs what the command line asks for. Beside peers in a page of headless Chromium, where they run; alone in Node.

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";
import { join, relative } from "node:path";
import { bundle } from "../scripts/bundle.mjs";
import { setUp } from "../scripts/setup.mjs";
import { UserError } from "../src/index.ts";
import { openBrowser } from "../test/browser/page.ts";
import { type Event, type GroupPlan, runGroup } from "./group.ts";
import { filtered, type Options, parseOptions, UsageError, usage } from "./options.ts";
import { ceilingLine, type Group, markdown, meanLine, means, scored, slug, textLine, trouble } from "./report.ts";
import { type Task, tasksOf } from "./tasks.ts";

const root = process.cwd();
const load = loadavg()[0];
const machine = `${availableParallelism()} cores of ${cpus().at(0)?.model.trim() ?? "an unknown CPU"}`;
const version = (folder: string): string =>
  JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8")).version;
const peerNames = ["@jax-js/jax", "@tensorflow/tfjs-core", "onnxruntime-web", "gpu.js"];
/** The slowest, gpu.js and tfjs on SwiftShader, take some 20 minutes for everything. */
const pageTimeoutMs = 3_600_000;

/** Where a group runs and what it is called. */
interface Place {
  readonly title: string;
  readonly plan: GroupPlan;
  run(plan: GroupPlan, report: (event: Event) => void): Promise<void>;
}

interface Planned {
  readonly words: string;
  readonly plan: GroupPlan;
}

function plans(options: Options, { tasks, peers }: { tasks: readonly Task[]; peers: boolean }): Planned[] {
  const { repeats, devices, threads, tune } = options;
  const shared = {
    ...{ tasks, repeats, tune, version: version("."), textbook: options.peers && !peers },
    peers: peers ? Object.fromEntries(peerNames.map((name) => [name, version(`node_modules/${name}`)])) : {},
  };
  return devices.flatMap((device): Planned[] =>
    device === "webgpu"
      ? [{ words: "WebGPU", plan: { ...shared, device } }]
      : threads.map((count) => ({
          words: `WebAssembly, ${count} thread${count > 1 ? "s" : ""}`,
          plan: { ...shared, device, threads: count },
        })),
  );
}

async function compare(options: Options): Promise<number> {
  const tasks = filtered(tasksOf(options.subjects, options.shapes), options.filter);
  const groups: Group[] = [];
  let wrong = 0;
  const print = (line: string) => {
    if (!options.json && line) console.log(line);
  };
  const measure = async ({ title, plan, run }: Place) => {
    const group: Group = { title, device: plan.device, rows: [], troubles: [], ceilings: {} };
    groups.push(group);
    print(`\n${title}`);
    await run(plan, (event) => {
      if (event.event === "ceilings") {
        group.ceilings = event.ceilings;
        print(ceilingLine(event.ceilings));
      } else if (event.event === "task") {
        if (group.rows.length === 0) print(event.rows.at(0)?.adapter ?? "");
        group.rows.push(...event.rows);
        for (const row of event.rows.map((each) => scored(each, group)))
          if (options.json) console.log(JSON.stringify({ group: title, ...row }));
          else print(textLine(row));
      } else {
        if (event.event === "wrong") wrong++;
        group.troubles.push(trouble(event));
        if (options.json) console.log(JSON.stringify({ group: title, ...event }));
        else print(trouble(event));
      }
    });
    for (const mean of means(group))
      if (options.json) console.log(JSON.stringify({ group: title, event: "mean", ...mean }));
      else print(meanLine(mean));
  };
  if (options.where.includes("chromium")) await inChromium(plans(options, { tasks, peers: options.peers }), measure);
  if (options.where.includes("node"))
    for (const { words, plan } of plans(options, { tasks, peers: false }))
      await measure({
        title: `Node ${process.versions.node}, ${words}`,
        plan,
        run: (each, report) => runGroup(each, { report }),
      });
  if (options.save) save(options, groups);
  return wrong > 0 ? 1 : 0;
}

async function inChromium(all: readonly Planned[], measure: (place: Place) => Promise<void>): Promise<void> {
  process.env.CHROMIUM_PATH = (await setUp()).chromium;
  const outdir = join(process.env.SHARDGRAD_BENCH_FOLDER ?? join(root, "build/bench"), "page");
  await bundle({
    ...{ entryPoints: ["bench/page.ts"], outdir, splitting: true, platform: "browser", logLevel: "error" },
    // gpu.js, which the library itself loads only where it must, is a peer here.
    external: ["webgpu", "node:*"],
  });
  const browser = await openBrowser({ root });
  try {
    for (const { words, plan } of all) {
      // A page each: engines keep threads, memory and globals that the next group must not meet.
      const { page, use, close } = await browser.openPage();
      const chromium = page.context().browser()?.version().split(".")[0];
      await measure({
        title: `Chromium ${chromium}, ${words}`,
        plan,
        async run(plan, report) {
          await page.exposeFunction("report", report);
          const url = `/${relative(root, join(outdir, "page.js")).replaceAll("\\", "/")}`;
          const inPage = async ({ url, plan }: { url: string; plan: GroupPlan }) => {
            const { run } = await import(url);
            await run(plan, (globalThis as unknown as { report: unknown }).report);
          };
          await use((page) => page.evaluate(inPage, { url, plan }), { timeoutMs: pageTimeoutMs });
        },
      });
      await close();
    }
  } finally {
    await browser.close();
  }
}

/** The commit a result belongs to; says so where files differ from it. */
function commit(): string {
  const git = (...words: string[]) => execFileSync("git", words, { cwd: root, encoding: "utf8" }).trim();
  try {
    const changed = git("status", "--porcelain", "--untracked-files=no") === "" ? "" : " with changes";
    return `${git("rev-parse", "--short", "HEAD")}${changed}`;
  } catch {
    return "unknown";
  }
}

/** One file a subject and device: bench/results/<subject>_<device>-<machine>_<yyyymm>.md. */
function save(options: Options, groups: readonly Group[]): void {
  const date = new Date().toISOString().slice(0, 10);
  const folder = join(root, "bench/results");
  mkdirSync(folder, { recursive: true });
  for (const subject of options.subjects)
    for (const device of options.devices) {
      const name = `${subject}_${device}-${slug(machine)}_${date.slice(0, 7).replace("-", "")}.md`;
      const heading = { subject, date, machine, commit: commit(), load, repeats: options.repeats };
      const own = groups.filter((group) => group.device === device);
      writeFileSync(join(folder, name), markdown(heading, own));
      console.error(`bench/results/${name}`);
    }
}

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2), { cores: availableParallelism() });
  if (options.help) {
    console.log(usage);
    return 0;
  }
  const code = options.subjects.length > 0 ? await compare(options) : 0;
  if (options.others.includes("mesh")) await (await import("./mesh.ts")).benchMesh(options);
  if (options.others.includes("encode")) await (await import("./encode.ts")).benchEncode(options);
  if (options.others.includes("links"))
    await (await import("./links.ts")).benchLinks(options, { machine, commit: commit() });
  if (options.others.includes("simulate"))
    await (await import("./simulate.ts")).benchSimulate(options, { machine, commit: commit() });
  if (options.others.includes("demo"))
    await (await import("./demo.ts")).benchDemo(options, { machine, commit: commit() });
  return code;
}

try {
  process.exitCode = await main();
} catch (error) {
  const usage = error instanceof UsageError;
  if (!usage && !(error instanceof UserError)) throw error;
  console.error(error.message);
  process.exitCode = usage ? 2 : 1;
}
