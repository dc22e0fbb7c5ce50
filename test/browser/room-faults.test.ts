// A tab that is closed in the middle of a run, at random points: the terminal it trained with says which rank is gone, waits, and trains to the end
// with another tab.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ensureBuilt } from "../../scripts/build.mjs";
import { Commands, sheepAndGoats } from "../network/command.ts";
import { faultRuns } from "../parallel/fault-runs.ts";
import { randomNumbers } from "../parallel/ranks.ts";
import { openBrowser } from "./page.ts";

const folder = mkdtempSync(join(tmpdir(), "shardgrad-tabs-"));
const data = join(folder, "text.txt");
const steps = 60;
const model = ["--width", "32", "--layers", "2", "--heads", "4", "--batch", "8", "--context", "16"];
const run = ["--mesh", "2", "--data", data, "--steps", `${steps}`, ...model, "--eval-batches", "1", "--sample", "0"];

let browser: Awaited<ReturnType<typeof openBrowser>>;
const commands = new Commands();
const start = (...words: string[]) => commands.start(words);

test.before(async () => {
  writeFileSync(data, sheepAndGoats);
  await ensureBuilt();
  browser = await openBrowser({ root: process.cwd() });
});
test.after(async () => {
  commands.kill();
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A tab that has agreed to take part. */
async function agreed(link: string) {
  const opened = await browser.openPage();
  await opened.use(
    async (page) => {
      await page.goto(link);
      await page.click("#take");
      await page.waitForURL(/\/train/);
      await page.click("#take");
    },
    { timeoutMs: 60_000 },
  );
  return opened;
}

const { runs, first } = faultRuns({ byDefault: 1 });

test("a tab that is closed ends the run on the other rank, which says who is gone and trains to the end with another tab", async () => {
  const alone = start("train", ...run, "--backend", "cpu", "--threads", "1");
  assert.is(await alone.ended, 0, alone.errors);
  for (let seed = first; seed < first + runs; seed++) {
    const at = 1 + Math.floor(randomNumbers(seed)() * (steps - 10));
    const room = start("serve", "--host", "127.0.0.1", "--port", "0", ...run);
    const { joinUrl } = await room.event(({ event }) => event === "room");
    const terminal = start("join", String(joinUrl), "--yes", "--backend", "cpu", "--threads", "1");
    const closing = await agreed(String(joinUrl));
    const { rank } = await terminal.event(({ event }) => event === "start");
    await terminal.event(({ event, step }) => event === "step" && step === at);
    await closing.close();
    const again = await agreed(String(joinUrl));
    assert.is(await terminal.ended, 0, `seed ${seed}: ${terminal.errors}`);
    await again.close();
    const gone = new RegExp(`rank ${1 - Number(rank)} (is gone|has not answered|has given no sign of life)`);
    assert.match(terminal.errors, gone, `seed ${seed}`);
    const begun = terminal.events.map(({ event }) => event).lastIndexOf("start");
    const losses = (events: typeof terminal.events) =>
      events.filter(({ event }) => event === "step").map(({ loss }) => loss);
    const before = losses(terminal.events.slice(0, begun));
    assert.equal(before, losses(alone.events).slice(0, before.length), `seed ${seed}`);
    assert.equal(losses(terminal.events.slice(begun)), losses(alone.events), `seed ${seed}`);
    room.kill();
  }
});

test.run();
