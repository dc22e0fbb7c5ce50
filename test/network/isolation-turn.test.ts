// Two ranks on networks that do not reach each other, and a TURN server that both reach: they train by it, though nobody asked for relays.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { allEnd, Commands, receivedBytes, sheepAndGoats } from "./command.ts";
import { Lab, useOwnNetwork } from "./lab.ts";
import { TurnServer } from "./turn-server.ts";

const folder = mkdtempSync(join(tmpdir(), "shardgrad-routers-"));
const data = join(folder, "text.txt");
const model = ["--width", "32", "--layers", "2", "--heads", "4", "--batch", "8", "--context", "16"];
const run = ["--mesh", "2", "--data", data, "--steps", "8", ...model, "--eval-batches", "1", "--sample", "0"];

const commands = new Commands();
const start = commands.start.bind(commands);
let turn: TurnServer;

test.before(() => {
  useOwnNetwork();
  writeFileSync(data, sheepAndGoats);
});
test.after(async () => {
  commands.kill();
  await turn?.stop();
  rmSync(folder, { recursive: true, force: true });
});

test("two networks without a way between them: a TURN server that both reach joins them, and the losses are those of one process", async () => {
  const [here, there] = [new Lab("here", "10.77.1"), new Lab("there", "10.77.2")];
  turn = await TurnServer.start(here.address);
  const env = { SHARDGRAD_TURN_PASSWORD: turn.credential };
  const ice = ["--ice", `turn:${turn.username}@${turn.url.slice(5)}`];
  const server = start(["serve", "--host", here.address, "--port", "0", ...run, ...ice], { env });
  const { joinUrl } = await server.event(({ event }) => event === "room");
  const machines = [here.machine(), there.machine()];
  const members = machines.map(({ within }) =>
    start(["join", String(joinUrl), "--yes", "--backend", "cpu"], { within }),
  );
  const alone = start(["train", ...run, "--backend", "cpu"]);
  await allEnd([alone, ...members]);
  for (const member of members) assert.equal(member.losses, alone.losses);
  const received = receivedBytes(members[0]) + receivedBytes(members[1]);
  assert.ok(turn.relayedBytes >= received, `${turn.relayedBytes} bytes relayed of ${received}`);
});

test.run();
