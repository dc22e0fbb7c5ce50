// Ranks on networks of their own: three namespaces, each with an address on one bridge, a rank in each, in a room served by one of them and
// in a room on a NATS server on the bridge. One of them is cut off in the middle; with a fourth in its place they train to the end.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { natsServer } from "../../scripts/setup.mjs";
import { allEnd, type Command, Commands, sheepAndGoats } from "./command.ts";
import { Lab, type Machine, useOwnNetwork } from "./lab.ts";

const folder = mkdtempSync(join(tmpdir(), "shardgrad-isolation-"));
const data = join(folder, "text.txt");
const steps = 150;
const model = ["--width", "48", "--layers", "2", "--heads", "3", "--batch", "6", "--context", "16"];
const rest = ["--steps", String(steps), "--eval-batches", "1", "--sample", "0"];
const run = ["--mesh", "3", "--layout", "1d", "--data", data, ...model, ...rest];

const commands = new Commands();
const start = (words: readonly string[], { within }: { within?: string[] } = {}) => commands.start(words, { within });

let nats: ChildProcess | undefined;

/** On that address; says when it is ready. */
async function startNats(address: string): Promise<string> {
  const url = `nats://${address}:4222/lab`;
  const store = join(folder, "store");
  const server = spawn(await natsServer(), ["-a", address, "-p", "4222", "-js", "-sd", store], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  nats = server;
  let said = "";
  await new Promise<void>((resolve, reject) => {
    server.once("exit", () => reject(new Error(`nats-server ended:\n${said}`)));
    server.stderr?.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      if (said.includes("Server is ready")) resolve();
    });
  });
  return url;
}

let expected: Promise<unknown[]>;

test.before(() => {
  useOwnNetwork();
  writeFileSync(data, sheepAndGoats);
  expected = (async () => {
    const alone = start(["train", ...run, "--backend", "cpu"]);
    assert.is(await alone.ended, 0, alone.errors);
    return alone.losses;
  })();
  expected.catch(() => undefined);
});
test.after(() => {
  commands.kill();
  nats?.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

/** Opens the room, on one of the machines or on the bridge. */
type Serve = (lab: Lab, machines: readonly Machine[]) => Promise<Command>;

/** Trains on three machines until one of them is cut off, then to the end on the two others and a fourth. */
async function isolated(name: string, { subnet, serve }: { subnet: string; serve: Serve }): Promise<void> {
  const lab = new Lab(name, subnet);
  const machines = [1, 2, 3].map(() => lab.machine());
  const server = await serve(lab, machines);
  const { joinUrl } = await server.event(({ event }) => event === "room");
  const join = ({ within }: Machine) => start(["join", String(joinUrl), "--yes", "--backend", "cpu"], { within });

  const members = machines.map(join);
  const [first, lost, third] = members;
  const { rank: lostRank } = await lost.event(({ event }) => event === "start");
  for (const member of members) await member.event(({ event, step }) => event === "step" && step === 3);
  // Not the machine that serves the room: that is another failure.
  machines[1].cut();
  const fourth = join(lab.machine());
  for (const member of [first, third]) {
    // After it joined, and after the cut.
    await member.says(/(waiting for the others.*){2}/s);
    assert.ok(member.errors.includes(`rank ${lostRank} is gone`), member.errors);
  }

  const losses = await expected;
  assert.is(losses.length, 2 * steps);
  await allEnd([first, third, fourth]);
  for (const member of [first, third, fourth]) {
    assert.equal(member.losses.slice(-losses.length), losses);
    assert.not.match(member.errors, /through the room/);
  }
  assert.is(await lost.ended, 1, lost.errors);
  assert.match(lost.errors, /rank \d is gone/);
  assert.match(lost.errors, /error: .*tried 10 times; join again to take part/);
  assert.ok(lost.losses.length >= 2 * 3 && lost.losses.length < losses.length);
  assert.equal(lost.losses, losses.slice(0, lost.losses.length));
}

test("three networks, in a room that one of them serves and in one on NATS: one that is cut off is named by the others, who begin again with a fourth and get the losses of one process; it ends too", async () => {
  // Together, for the time they take is waiting.
  const ended = await Promise.allSettled([
    isolated("served", {
      subnet: "10.77.1",
      serve: async (_, [{ address, within }]) =>
        start(["serve", "--host", address, "--port", "8642", ...run], { within }),
    }),
    isolated("nats", {
      subnet: "10.77.2",
      serve: async ({ address }) => start(["serve", "--rendezvous", await startNats(address), ...run]),
    }),
  ]);
  for (const each of ended) if (each.status === "rejected") throw each.reason;
});

test.run();
