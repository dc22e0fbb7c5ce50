// What goes wrong with processes and rendezvous, put into runs of rooms at random points: ranks are processes of their own, joined by WebRTC,
// in a room behind a server and in one on NATS. Whoever is left says which rank is gone, waits for another, and trains to the end with it;
// no loss is ever wrong. Started with FAULTS_MEMBER, this file is such a process.

import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createInterface } from "node:readline";
import { test } from "uvu";
import { equal, is, match, ok } from "uvu/assert";
import { createBackend } from "../../src/backend/select.ts";
import { joinRoom } from "../../src/cluster/rendezvous/client.ts";
import { parseLink } from "../../src/cluster/rendezvous/link.ts";
import type { Start } from "../../src/cluster/rendezvous/membership.ts";
import { openNatsRoom } from "../../src/cluster/rendezvous/nats-room.ts";
import type { OpenRoom, Rendezvous } from "../../src/cluster/rendezvous/open-room.ts";
import { startRendezvous } from "../../src/cluster/rendezvous/server.ts";
import { takePart } from "../../src/cluster/take-part.ts";
import { CommunicationError } from "../../src/comm/link.ts";
import { runRanks } from "../../src/comm/loopback.ts";
import { releaseWebRtc } from "../../src/comm/webrtc.ts";
import { parseModelConfig } from "../../src/nn/config.ts";
import { createLayout, meshShape } from "../../src/parallel/shape.ts";
import { makeCorpus } from "../../src/train/corpus.ts";
import { charTokenizer } from "../../src/train/tokenizer.ts";
import { train } from "../../src/train/trainer.ts";
import { parameters as toy } from "../training/toy.ts";
import { NatsServer } from "../unit/nats-server.ts";
import { faultRuns } from "./fault-runs.ts";
import { randomNumbers } from "./ranks.ts";

const size = 2;
const steps = 40;
/** Enough for processes on a machine that is busy with others. */
const timeoutMs = 6000;
const secret = "correct-horse-battery";
const text = Array.from({ length: 160 }, (_, i) => `${i % 7} sheep and ${(i * 3) % 5} goats; `).join("");
const tokenizer = charTokenizer(text);
const parameters = { ...toy, batch: 4, steps };
const model = {
  model_type: "gpt2",
  vocab_size: tokenizer.vocabSize,
  n_positions: 12,
  n_embd: 20,
  n_layer: 2,
  n_head: 2,
};
const bytes = new TextEncoder().encode(text);
const path = "/text/faults";
const sha256 = createHash("sha256").update(bytes).digest("hex");
const plan = {
  ...{ layout: "1d", dims: [size], program: "train", about: "fails, and goes on" },
  options: JSON.stringify({
    ...{ config: model, parameters, tokenizer: "char", text: { path, sha256, bytes: bytes.length }, timeoutMs },
  }),
};
const limits = { silentMs: timeoutMs, settleMs: 1000 };

// ---- a rank, in a process of its own ----------------------------------------------------------------------------------------

/** Signals come late, in another order and up to three times. */
function confused(start: Start, random: () => number): Start {
  const { signalling } = start;
  const send = (to: number, data: unknown) => {
    for (let copies = 1 + Math.floor(3 * random()); copies > 0; copies--)
      setTimeout(() => signalling.send(to, data), 300 * random());
  };
  return {
    ...start,
    signalling: { send, listen: signalling.listen.bind(signalling) } as unknown as Start["signalling"],
  };
}

async function takeParts({ link, seed }: { link: string; seed: number | undefined }): Promise<void> {
  const say = (what: object) => process.stdout.write(`${JSON.stringify(what)}\n`);
  const random = randomNumbers(seed ?? 0);
  const { backend } = await createBackend({ backend: "cpu", threads: 1, tune: false });
  const { url, secret: given } = parseLink(link);
  const room = await joinRoom({ url, secret: given, name: `${process.pid}`, adapter: "", retries: 100, retryMs: 50 });
  for (let done = false; !done; ) {
    const start = await room.agree();
    say({ rank: start.rank });
    try {
      await takePart({
        ...{ start: seed === undefined ? start : confused(start, random), backend, url },
        listener: { event: (event) => event.event === "step" && say({ step: event.step, loss: event.loss }) },
      });
      start.end("done");
      done = true;
    } catch (error) {
      if (!(error instanceof CommunicationError)) throw error;
      start.end(error.message);
      say({ failed: error.message, blamed: error.rank });
    }
  }
  room.leave();
  backend.dispose();
  await releaseWebRtc();
}

// ---- the test's side --------------------------------------------------------------------------------------------------------

interface Said {
  rank?: number;
  step?: number;
  loss?: number;
  failed?: string;
  blamed?: number;
}

class Member {
  readonly said: Said[] = [];
  readonly #ended: Promise<number | null>;
  readonly process: ChildProcess;
  errors = "";

  constructor(link: string, { seed }: { seed?: number } = {}) {
    this.process = spawn(process.execPath, [process.argv[1]], {
      env: { ...process.env, FAULTS_MEMBER: JSON.stringify({ link, seed }) },
      stdio: ["ignore", "pipe", "pipe"],
    });
    createInterface({ input: this.process.stdout! }).on("line", (line) => this.said.push(JSON.parse(line)));
    this.process.stderr!.on("data", (piece) => (this.errors += piece));
    this.#ended = new Promise((resolve) => this.process.on("close", resolve));
  }

  /** It has trained to the end. */
  async done(): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, 120_000, "is still there after two minutes");
    });
    is(await Promise.race([this.#ended, late]), 0, `${JSON.stringify(this.said)} ${this.errors}`);
    clearTimeout(timer);
  }

  /** of each start, in turn */
  get losses(): number[][] {
    const runs: number[][] = [];
    for (const { rank, loss } of this.said)
      if (rank !== undefined) runs.push([]);
      else if (loss !== undefined) runs.at(-1)!.push(loss);
    return runs;
  }

  async until(what: (said: Said) => boolean): Promise<Said> {
    for (let i = 0; i < 6000; i++) {
      const found = this.said.find(what);
      if (found) return found;
      if (this.process.exitCode !== null) break;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error(`it did not come in a minute, or before the end: ${JSON.stringify(this.said)} ${this.errors}`);
  }

  kill(): void {
    this.process.kill("SIGCONT");
    this.process.kill("SIGKILL");
  }
}

interface Room {
  link: string;
  /** What all meet at goes, and comes again. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

async function behindServer(): Promise<Room> {
  const pages = (asked: string) => (asked === path ? { type: "text/plain", body: bytes } : undefined);
  const open = (port: number) => startRendezvous({ host: "127.0.0.1", port, plan, secret, limits, pages });
  let rendezvous: Rendezvous = await open(0);
  const { joinUrl, url } = rendezvous;
  return {
    link: joinUrl,
    async restart() {
      await rendezvous.close();
      rendezvous = await open(Number(new URL(url).port));
    },
    close: () => rendezvous.close(),
  };
}

async function onNats(): Promise<Room> {
  const server = await NatsServer.start();
  const kept = new Map([[path, bytes]]);
  const room: OpenRoom = await openNatsRoom({
    ...{ url: server.url("room"), plan, secret, limits, kept, retries: 100, retryMs: 50 },
  });
  return {
    link: room.joinUrl,
    async restart() {
      await server.stop();
      await server.start();
    },
    async close() {
      room.close();
      await server.remove();
    },
  };
}

let wanted: number[];
test.before(async () => {
  const { backend } = await createBackend({ backend: "cpu", threads: 1, tune: false });
  const shape = meshShape({ layout: "1d", dims: [size] });
  const corpus = makeCorpus({ tokens: tokenizer.encode(text), context: parameters.context });
  const config = parseModelConfig(model);
  [wanted] = await runRanks({ size, backend }, async ({ link, backend: own }) => {
    const layout = createLayout(shape, { backend: own, link });
    const losses: number[] = [];
    for await (const event of train({ backend: own, config, tokenizer, corpus, parameters, layout }))
      if (event.event === "step") losses.push(event.loss);
    return losses;
  });
  backend.dispose();
  is(wanted.length, steps);
});

/** A rank is gone at some step: the other says so, and begins again with a third. */
const loses =
  (signal: "SIGKILL" | "SIGSTOP") =>
  async (room: Room, random: () => number): Promise<void> => {
    const members = [new Member(room.link), new Member(room.link)];
    try {
      const at = 1 + Math.floor(random() * (steps - 10));
      const [culprit, left] = random() < 0.5 ? members : [...members].reverse();
      await left.until(({ step }) => step === at);
      const { rank } = await culprit.until((said) => said.rank !== undefined);
      culprit.process.kill(signal);
      const { failed, blamed } = await left.until((said) => said.failed !== undefined);
      is(blamed, rank, failed);
      match(failed!, new RegExp(`rank ${rank} `));
      const third = new Member(room.link);
      members.push(third);
      for (const each of [left, third]) await each.done();
      const [before, again] = left.losses;
      equal(before, wanted.slice(0, before.length));
      equal([again, ...third.losses], [wanted, wanted]);
    } finally {
      for (const each of members) each.kill();
    }
  };

const faults: Record<string, (room: Room, random: () => number) => Promise<void>> = {
  "a process that is killed": loses("SIGKILL"),
  "a process that stalls": loses("SIGSTOP"),
  "a rendezvous that restarts": async (room, random) => {
    const members = [new Member(room.link), new Member(room.link)];
    try {
      const at = 1 + Math.floor(random() * (steps - 10));
      await members[0].until(({ step }) => step === at);
      await room.restart();
      for (const each of members) await each.done();
      for (const { losses } of members) equal(losses, [wanted], "the run went on");
      members.push(new Member(room.link), new Member(room.link));
      for (const each of members.slice(2)) await each.done();
      for (const { losses } of members.slice(2)) equal(losses, [wanted], "and the next one starts");
    } finally {
      for (const each of members) each.kill();
    }
  },
  "signals that come twice, late and in another order": async (room, random) => {
    const seeds = [Math.floor(1e6 * random()), Math.floor(1e6 * random())];
    const members = seeds.map((seed) => new Member(room.link, { seed }));
    try {
      for (const each of members) await each.done();
      for (const { losses } of members) equal(losses, [wanted]);
    } finally {
      for (const each of members) each.kill();
    }
  },
};

const places = { "behind a server": behindServer, "on NATS": onNats };
const { runs, first } = faultRuns({ byDefault: 1 });

for (const [name, fault] of Object.entries(faults))
  test(`${name}: no loss is wrong, and all that are left train to the end, behind a server and on NATS`, async () => {
    for (let seed = first; seed < first + runs; seed++) {
      // Beside each other: most of it is waiting.
      const all = Object.entries(places).map(async ([where, open]) => {
        const room = await open();
        try {
          await fault(room, randomNumbers(7919 * seed + name.length));
        } catch (error) {
          throw new Error(`seed ${seed}, ${where}: ${(error as Error).message}`, { cause: error });
        } finally {
          await room.close();
        }
      });
      const failed = (await Promise.allSettled(all)).find(({ status }) => status === "rejected");
      if (failed?.status === "rejected") throw failed.reason;
    }
    ok(runs > 0);
  });

if (process.env.FAULTS_MEMBER) await takeParts(JSON.parse(process.env.FAULTS_MEMBER));
else test.run();
