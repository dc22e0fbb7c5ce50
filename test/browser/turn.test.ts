// A tab and a terminal that reach each other by a real TURN server alone; and what a page is told when it takes no password.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ensureBuilt } from "../../scripts/build.mjs";
import { bundle } from "../../scripts/bundle.mjs";
import { Commands, receivedBytes, sheepAndGoats } from "../network/command.ts";
import { relayApart, TurnServer } from "../network/turn-server.ts";
import { openBrowser } from "./page.ts";
import { tab } from "./tab.ts";

type PageModule = typeof import("./webrtc.page.ts");

const root = process.cwd();
const folder = mkdtempSync(join(tmpdir(), "shardgrad-turn-tab-"));
const data = join(folder, "text.txt");
const model = ["--width", "32", "--layers", "2", "--heads", "4", "--batch", "8", "--context", "16"];
const run = ["--mesh", "2", "--data", data, "--steps", "6", ...model, "--eval-batches", "1", "--sample", "0"];

let turn: TurnServer;
let pages = "";
let browser: Awaited<ReturnType<typeof openBrowser>>;
const commands = new Commands();
const start = (words: readonly string[], env: object = {}) => commands.start(words, { env });

test.before(async () => {
  writeFileSync(data, sheepAndGoats);
  mkdirSync(join(root, "build"), { recursive: true });
  pages = mkdtempSync(join(root, "build/turn-"));
  const outfile = join(pages, "page.js");
  await bundle({ entryPoints: ["test/browser/webrtc.page.ts"], platform: "browser", outfile });
  await ensureBuilt();
  [turn, browser] = await Promise.all([TurnServer.start(), openBrowser({ root })]);
});
test.after(async () => {
  commands.kill();
  await Promise.all([turn?.stop(), browser?.close()]);
  for (const each of [folder, pages]) rmSync(each, { recursive: true, force: true });
});

test("a tab and a terminal whom the room gives its TURN server train by it alone: the bits of one process", async () => {
  const alone = start(["train", ...run, "--backend", "cpu"]);
  assert.is(await alone.ended, 0, alone.errors);
  const ice = ["--ice", `turn:${turn.username}@${turn.url.slice(5)}`, "--ice-policy", "relay"];
  const room = start(["serve", "--host", "127.0.0.1", "--port", "0", ...run, ...ice], {
    SHARDGRAD_TURN_PASSWORD: turn.credential,
  });
  const { joinUrl } = await room.event(({ event }) => event === "room");
  const terminal = start(["join", String(joinUrl), "--yes", "--backend", "cpu"]);
  const shown = await tab(browser, String(joinUrl)).catch((error: Error) => {
    throw new Error([error.message, terminal.errors, turn.log].join("\n"));
  });
  assert.is(await terminal.ended, 0, terminal.errors);
  assert.equal(terminal.losses, alone.losses);
  const { validationLoss } = alone.events.find(({ event }) => event === "done") as { validationLoss: number };
  assert.is(shown.evaluation, `done: validation loss ${validationLoss.toFixed(4)}`);
  assert.match(shown.traffic ?? "", /^[\d,]+ bytes received, as the closed form says$/);
  // A mesh of two: the tab receives as much as the terminal.
  const received = 2 * receivedBytes(terminal);
  assert.ok(turn.relayedBytes >= (relayApart ? received : 1), `${turn.relayedBytes} bytes relayed of ${received}`);
});

test("a page hears from the TURN server that it does not take the password, and says so", async () => {
  const { use, close } = await browser.openPage();
  try {
    const url = `/${relative(root, join(pages, "page.js")).replaceAll("\\", "/")}`;
    const servers = [{ urls: turn.url, username: turn.username, credential: "wrong horse" }];
    const errors = await use(
      (page) =>
        page.evaluate(async ({ url, servers }) => ((await import(url)) as PageModule).byRelays(servers), {
          url,
          servers,
        }),
      { timeoutMs: 30_000 },
    );
    for (const [rank, message] of errors.entries()) {
      const wanted = `rank ${rank} and rank ${1 - rank} know of each other, but found no way between them in 5.0 s; ${turn.url} gave rank 0 and rank 1 no address (401 Unauthorized`;
      assert.ok(message.startsWith(wanted), message);
      assert.not.match(message, /horse/);
    }
  } finally {
    await close();
  }
});

test.run();
