// Ranks that reach each other by a real TURN server alone: in rooms of either kind, handed out to members; and what is said when it
// does not take the password.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { CommunicationError } from "../../src/comm/link.ts";
import { connectRanks, releaseWebRtc, type Signalling } from "../../src/comm/webrtc.ts";
import type { SignalData } from "../../src/comm/webrtc-signal.ts";
import { NatsServer } from "../unit/nats-server.ts";
import { allEnd, type Command, Commands, receivedBytes, sheepAndGoats } from "./command.ts";
import { relayApart, TurnServer } from "./turn-server.ts";

const folder = mkdtempSync(join(tmpdir(), "shardgrad-turn-test-"));
const data = join(folder, "text.txt");
const model = ["--width", "32", "--layers", "2", "--heads", "4", "--batch", "8", "--context", "16"];
const run = ["--mesh", "2", "--data", data, "--steps", "8", ...model, "--eval-batches", "1", "--sample", "0"];

let turn: TurnServer;
let nats: NatsServer;
let refused: Command;
const commands = new Commands();
const start = (words: readonly string[], env: object = {}) => commands.start(words, { env });

const relays = () => ["--ice", `turn:${turn.username}@${turn.url.slice(5)}`, "--ice-policy", "relay"];
const train = () => ["train", ...run, "--backend", "cpu", "--link", "webrtc", ...relays()];

test.before(async () => {
  writeFileSync(data, sheepAndGoats);
  [turn, nats] = await Promise.all([TurnServer.start(), NatsServer.start()]);
  // First, as it takes the 30 s in which a way has to be found.
  refused = start(train(), { SHARDGRAD_TURN_PASSWORD: "wrong horse" });
});
test.after(async () => {
  commands.kill();
  await Promise.all([turn?.stop(), nats?.remove()]);
  await releaseWebRtc();
  rmSync(folder, { recursive: true, force: true });
});

let alone: Promise<unknown[]> | undefined;

/** The losses of ranks in one process. */
async function losses(): Promise<unknown[]> {
  alone ??= (async () => {
    const command = start(["train", ...run, "--backend", "cpu"]);
    assert.is(await command.ended, 0, command.errors);
    return command.losses;
  })();
  return alone;
}

for (const [room, place] of [
  ["served", () => ["--host", "127.0.0.1", "--port", "0"]],
  ["on NATS", () => ["--rendezvous", nats.url("relayed")]],
] as const)
  test(`a room ${room} gives its TURN server to members: by it alone they train, the bits of one process, and nobody prints the password`, async () => {
    const expected = await losses();
    const server = start(["serve", ...place(), ...run, ...relays()], { SHARDGRAD_TURN_PASSWORD: turn.credential });
    const { joinUrl, plan } = await server.event(({ event }) => event === "room");
    assert.equal((plan as { ice: unknown }).ice, { iceServers: [turn.url], iceTransportPolicy: "relay" });
    const before = turn.relayedBytes;
    const members = [1, 2].map(() => start(["join", String(joinUrl), "--yes", "--backend", "cpu", "--data", data]));
    await allEnd(members);
    for (const member of members) {
      assert.equal(member.losses, expected);
      assert.ok(member.errors.includes(`ice      ${turn.url}, by relays alone`), member.errors);
      assert.not.match(member.errors, /through the room/);
    }
    for (const { errors, events } of [server, ...members])
      assert.not.ok(`${errors}${JSON.stringify(events)}`.includes(turn.credential));
    const received = sum(members.map(receivedBytes));
    const relayed = turn.relayedBytes - before;
    assert.ok(relayed >= (relayApart ? received : 1), `${relayed} bytes relayed of ${received}`);
    server.kill();
  });

const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0);

/** Two ranks of this process, by relays alone; how each ended.
 *  @param told what ranks say to each other goes there too */
async function connectTwo(
  credentials: readonly [string, string],
  told?: { rank: number; data: SignalData }[],
): Promise<PromiseSettledResult<unknown>[]> {
  const listeners: ((from: number, data: unknown) => void)[] = [];
  const signalling = (rank: number): Signalling => ({
    send: (to, data) => {
      told?.push({ rank, data });
      queueMicrotask(() => listeners[to]?.(rank, JSON.parse(JSON.stringify(data))));
    },
    listen: (take) => {
      listeners[rank] = take;
    },
  });
  const results = await Promise.allSettled(
    credentials.map((credential, rank) =>
      connectRanks({
        ...{ rank, size: 2, signalling: signalling(rank), timeoutMs: 4000, iceTransportPolicy: "relay" },
        iceServers: [{ urls: turn.url, username: turn.username, credential }],
      }),
    ),
  );
  for (const result of results) if (result.status === "fulfilled") for (const channel of result.value) channel?.close();
  return results;
}

/** of relays, as a rank told them */
const portsToldBy = (told: readonly { rank: number; data: SignalData }[], rank: number): number[] => {
  const own = told.filter((each) => each.rank === rank);
  const ports = own.map(({ data }) => data.kind === "candidate" && / (\d+) typ relay/.exec(data.candidate)?.[1]);
  return [...new Set(ports.filter((port) => typeof port === "string").map(Number))];
};

test("who offers tells its relay's address alone, so that it finds the other first; its port when no way is found for a while", async () => {
  const right = turn.credential;
  const told: { rank: number; data: SignalData }[] = [];
  const found = await connectTwo([right, right], told);
  assert.ok(found.every(({ status }) => status === "fulfilled"));
  assert.equal(portsToldBy(told, 0), [1024]);
  const [port, ...others] = portsToldBy(told, 1);
  assert.ok(port > 1024 && others.length === 0, `${port} ${others}`);
  const alone: typeof told = [];
  const lost = await connectTwo([right, "wrong horse"], alone);
  assert.ok(lost.every(({ status }) => status === "rejected"));
  const [first, second, ...more] = portsToldBy(alone, 0);
  assert.ok(first === 1024 && second > 1024 && more.length === 0, `${first} ${second} ${more}`);
});

test("a password that the TURN server does not take: an error within the time-out that names the rank and the server, and not the password", async () => {
  const right = turn.credential;
  assert.equal(
    (await connectTwo([right, right])).map(({ status }) => status),
    ["fulfilled", "fulfilled"],
  );
  for (const [credentials, lacking] of [
    [["wrong horse", "wrong horse"], "rank 0 and rank 1"],
    [[right, "wrong horse"], "rank 1"],
    [["wrong horse", right], "rank 0"],
  ] as const)
    for (const [rank, result] of (await connectTwo(credentials)).entries()) {
      const error = result.status === "rejected" ? result.reason : undefined;
      assert.instance(error, CommunicationError);
      assert.is(error.rank, 1 - rank);
      assert.is(
        error.message,
        `rank ${rank} and rank ${1 - rank} know of each other, but found no way between them in 4.0 s; ${turn.url} gave ${lacking} no address: see that it is reached from there, over UDP unless it is a page, and that it takes the name and the password`,
      );
    }
  assert.match(turn.log, /user <ada>: incoming packet .*error 401/);
});

test("ranks of one machine by --link webrtc and relays alone: the same losses; a wrong password ends the run in a sentence", async () => {
  const before = turn.relayedBytes;
  const relayed = start(train(), { SHARDGRAD_TURN_PASSWORD: turn.credential });
  await allEnd([relayed]);
  assert.equal(relayed.losses, await losses());
  const { sent } = relayed.events.find(({ event }) => event === "done") as { sent: { elementBytes: number } };
  assert.ok(turn.relayedBytes - before >= (relayApart ? sent.elementBytes : 1));
  assert.is(await refused.ended, 1);
  const last = refused.errors.trimEnd().split("\n").at(-1) ?? "";
  assert.ok(
    last.startsWith("error: rank 0 and rank 1 know of each other, but found no way between them in 30.0 s"),
    last,
  );
  assert.ok(last.includes(`${turn.url} gave rank 0 and rank 1 no address`), last);
  assert.is(refused.losses.length, 0);
});

test.run();
