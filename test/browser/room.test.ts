// One mesh of two tabs and two terminals: `shardgrad serve`, two `shardgrad join` and two pages of a real browser, by the link alone.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ensureBuilt } from "../../scripts/build.mjs";
import { Commands, sheepAndGoats } from "../network/command.ts";
import { openBrowser } from "./page.ts";
import { tab } from "./tab.ts";

const folder = mkdtempSync(join(tmpdir(), "shardgrad-room-"));
const data = join(folder, "text.txt");
const model = ["--width", "32", "--layers", "2", "--heads", "4", "--batch", "8", "--context", "16"];
const run = ["--mesh", "2x2", "--data", data, "--steps", "6", ...model, "--eval-batches", "1", "--sample", "0"];

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

test("two tabs and two terminals train as one mesh, by the link alone: the bits of ranks in one process", async () => {
  const alone = start("train", ...run, "--backend", "cpu");
  assert.is(await alone.ended, 0, alone.errors);
  const room = start("serve", "--host", "127.0.0.1", "--port", "0", ...run);
  const { joinUrl } = await room.event(({ event }) => event === "room");
  const terminals = [1, 2].map(() => start("join", String(joinUrl), "--yes", "--backend", "cpu"));
  const tabs = await Promise.all([1, 2].map(() => tab(browser, String(joinUrl)))).catch((error: Error) => {
    throw new Error([error.message, ...terminals.map(({ errors }) => errors)].join("\n"));
  });
  for (const terminal of terminals) {
    assert.is(await terminal.ended, 0, terminal.errors);
    assert.equal(terminal.losses, alone.losses);
    for (const { bytesReceived, closedFormBytes } of terminal.events.filter(({ event }) => event === "step"))
      assert.equal(bytesReceived, closedFormBytes);
  }
  const { validationLoss } = alone.events.find(({ event }) => event === "done") as { validationLoss: number };
  for (const { evaluation, traffic } of tabs) {
    assert.is(evaluation, `done: validation loss ${validationLoss.toFixed(4)}`);
    assert.match(traffic ?? "", /^[\d,]+ bytes received, as the closed form says$/);
  }
});

test("a terminal that is killed in the middle ends the run on the others, who say which rank it was", async () => {
  const long = run.map((word) => (word === "6" ? "100000" : word));
  const room = start("serve", "--host", "127.0.0.1", "--port", "0", ...long);
  const { joinUrl } = await room.event(({ event }) => event === "room");
  const terminals = [1, 2, 3, 4].map(() => start("join", String(joinUrl), "--yes", "--backend", "cpu"));
  const ranks = await Promise.all(
    terminals.map(async (each) => (await each.event(({ generation }) => generation !== undefined)).rank as number),
  );
  for (const each of terminals) await each.event(({ event, step }) => event === "step" && step === 3);
  const [killed, ...others] = terminals;
  killed.kill();
  // The others wait for the next start, which needs a fourth: it begins the run again.
  const fourth = start("join", String(joinUrl), "--yes", "--backend", "cpu");
  for (const other of others) {
    await other.event(() => other.events.filter(({ generation }) => generation !== undefined).length === 2);
    assert.ok(new RegExp(`rank ${ranks[0]} is gone`).test(other.errors), other.errors);
    await other.event(() => other.events.filter(({ event, step }) => event === "step" && step === 3).length === 2);
  }
  await fourth.event(({ event, step }) => event === "step" && step === 3);
});

test.run();
