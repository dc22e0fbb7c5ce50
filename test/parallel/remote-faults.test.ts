// What goes wrong between ranks on other machines, put into a training run at random points: every rank stops waiting with an error that names
// who is at fault and what it waited for, nothing hangs, nothing is left, no loss is wrong, and a new run of the others works.

import { test } from "uvu";
import { equal, instance, is, ok } from "uvu/assert";
import type { Backend } from "../../src/backend/backend.ts";
import type { Channel } from "../../src/comm/channel.ts";
import { CommunicationError, type Link } from "../../src/comm/link.ts";
import { runRanks } from "../../src/comm/loopback.ts";
import { ProcessGroup } from "../../src/comm/process-group.ts";
import type { RemoteLink } from "../../src/comm/remote.ts";
import { createLayout, type MeshShape, meshShape, parseMesh } from "../../src/parallel/shape.ts";
import { constant } from "../../src/tensor/tensor.ts";
import { train } from "../../src/train/trainer.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import { corpus, gpt2, parameters, tokenizer } from "../training/toy.ts";
import { faultRuns } from "./fault-runs.ts";
import { type Bytes, meddling, once } from "./meddling.ts";
import { randomNumbers, unhandledRejections } from "./ranks.ts";
import { handlesLeft, messageChannels, openHandles, type RemoteRank, settleRemote } from "./remote-ranks.ts";

const rejections = unhandledRejections();
test.after(closeBackend);

const size = 8;
const timeoutMs = 400;
const range = (n: number) => Array.from({ length: n }, (_, index) => index);
const purpose = "test";

const plain = () => messageChannels(size);

/** One thing that goes wrong with rank `culprit`. */
interface Fault {
  size: number;
  culprit: number;
  /** the one other rank whose channel it is about, where it is about one */
  other: number;
  /** after so many of the culprit's frames */
  at: number;
  random: () => number;
}

interface Kind {
  /** the channels of the run */
  channels: (fault: Fault) => (Channel | undefined)[][];
  /** what the culprit's program does beside training, after its first step */
  act?: (rank: RemoteRank, fault: Fault) => Promise<unknown> | "end";
  /** of errors on the others */
  says: RegExp;
  /** the fault may be seen from either end of a channel, or be about two calls */
  named?: (fault: Fault) => readonly number[];
}

const inCall = String.raw`.* \(.+ (call \d+|tag .*)\)`;

/** It is told that it is at fault, and leaves: those that neither saw nor heard it before see that first. */
const leaves = "is gone: it has closed its side; ";

const kinds: Record<string, Kind> = {
  "a program that throws": {
    channels: plain,
    act: async () => {
      throw new RangeError("a mistake");
    },
    says: new RegExp(`^rank C failed: a mistake; rank C .*${inCall}`),
  },
  "a channel that closes on one side": {
    channels: (fault) => meddling(fault, (_frame, _pass, channel) => channel.close()),
    says: new RegExp(`^rank \\d (is gone: it has closed its side; |has not answered for 0.4 s: )${inCall}`),
    named: ({ culprit, other }) => [culprit, other],
  },
  "a rank whose channels all close": {
    channels: (fault) => {
      const channels: (Channel | undefined)[][] = meddling({ ...fault, other: undefined }, () => {
        for (const channel of channels[fault.culprit]) channel?.close();
      });
      return channels;
    },
    says: new RegExp(`^rank C is gone: it has closed its side; ${inCall}`),
  },
  "a rank that stalls": {
    channels: (fault) => meddling({ ...fault, other: undefined }, () => undefined),
    // It hears the others, and leaves.
    says: new RegExp(
      `^rank C (has (not answered|given no sign of life) for 0.4 s: (${inCall}|rank \\d has ended)|is gone: .*; ${inCall})`,
    ),
  },
  "a channel that stalls one way": {
    channels: (fault) => meddling(fault, () => undefined),
    // Others may have told it before, and it leaves.
    says: new RegExp(
      `^rank C (has (not answered|given no sign of life) for 0.4 s: (${inCall}|rank \\d has ended)|${leaves}${inCall})`,
    ),
  },
  "a program that stops without a word": {
    channels: plain,
    act: () => new Promise(() => undefined),
    says: new RegExp(`^rank C has not answered for 0.4 s: ${inCall}`),
  },
  garbage: {
    channels: (fault) =>
      meddling(
        fault,
        once((frame, pass) => {
          pass(Uint8Array.from({ length: Math.floor(200 * fault.random()) }, () => Math.floor(256 * fault.random())));
          pass(frame);
        }),
      ),
    says: new RegExp(`^rank C (is not understood: .*; |${leaves})${inCall}`),
  },
  "a frame with a changed byte in its head": {
    channels: (fault) =>
      meddling(
        fault,
        once((frame, pass) => {
          // Length, sequence or kind: what the other bytes say may be a call like another.
          frame[[0, 10, 11, 12, 13][Math.floor(5 * fault.random())]] ^= 1 + Math.floor(255 * fault.random());
          pass(frame);
        }),
      ),
    says: new RegExp(`^rank C (is not understood: .*; |${leaves})${inCall}`),
  },
  "a frame that comes twice": {
    channels: (fault) =>
      meddling(
        fault,
        once((frame, pass) => {
          const again = frame.slice();
          pass(frame);
          pass(again);
        }),
      ),
    says: new RegExp(`^rank C (is not understood: frame \\d+ came in place of frame \\d+: .*; |${leaves})${inCall}`),
  },
  "frames that change places": {
    channels: (fault) => {
      let held: Bytes | undefined;
      return meddling(fault, (frame, pass) => {
        if (!held) {
          held = frame;
          return;
        }
        pass(frame);
        if (held.length > 0) pass(held);
        held = new Uint8Array(0);
      });
    },
    // The first of the two may be the last for which anybody waits.
    says: new RegExp(
      `^rank C (is not understood: frame \\d+ came in place of frame \\d+: .*; |has not answered|${leaves})${inCall}`,
    ),
  },
  "a rank that ends early": {
    channels: plain,
    act: () => "end",
    says: new RegExp(`^rank C has ended, but ${inCall}`),
  },
  "a rank that makes another call": {
    channels: plain,
    act: async ({ link, backend }) => {
      // As a layout's group of that name would, with another operation.
      const ranks = range(size);
      const group = new ProcessGroup({ name: "stray", ranks, link });
      using x = constant(backend, { shape: [2], purpose: "scratch" });
      (await group.allReduce(x, { purpose })).dispose();
    },
    // Each waits for the other in a call of its own: nobody can say which of the two is right.
    says: /^ranks have waited for each other for 0\.4 s: .*rank C waits for rank \d in allReduce .*\(stray call 0\)/,
    named: () => range(size),
  },
};

const steps = 2;
const cube = meshShape({ layout: "2.5d", dims: parseMesh("2x2x2") });
const smaller = meshShape({ layout: "2d", dims: parseMesh("2x2") });
const trainParameters = { ...parameters, batch: 4, steps };

/** The losses of a tiny run; `after` is asked after every step whether to go on. */
async function trainOn(
  { link, backend }: { link: Link; backend: Backend },
  shape: MeshShape,
  after: (step: number) => Promise<unknown> | "end" | undefined = () => undefined,
): Promise<number[]> {
  const layout = createLayout(shape, { backend, link });
  const losses: number[] = [];
  for await (const event of train({ backend, config: gpt2, tokenizer, corpus, parameters: trainParameters, layout })) {
    if (event.event !== "step") continue;
    losses.push(event.loss);
    const more = after(event.step);
    if (more === "end") return losses;
    if (more) await more;
  }
  return losses;
}

const wanted = new Map<MeshShape, Promise<number[]>>();
async function lossesOfLoopback(shape: MeshShape): Promise<number[]> {
  const backend = await backendUnderTest();
  let losses = wanted.get(shape);
  if (!losses) {
    losses = runRanks({ size: shape.size, backend }, (rank) => trainOn(rank, shape)).then(([first]) => first);
    wanted.set(shape, losses);
  }
  return losses;
}

/** Frames that a rank sends a neighbour in a run, at least. */
const framesOfAChannel = 100;

const names = Object.keys(kinds);
/** of each kind: more than 100 in all */
const { runs, first } = faultRuns({ byDefault: 9 });

for (const [index, name] of names.entries())
  test(`${name}: all other ranks stop, name it, and leave nothing; no loss is wrong`, async () => {
    const { channels, act, says, named } = kinds[name];
    const backend = await backendUnderTest();
    const losses = await lossesOfLoopback(cube);
    const before = openHandles();
    let failed = 0;
    for (let run = first; run < first + runs; run++) {
      const seed = index + run * names.length;
      const random = randomNumbers(977 * seed + 1);
      const culprit = Math.floor(size * random());
      // A neighbour in its row, its column or its depth.
      const other = culprit ^ [1, 2, 4][Math.floor(3 * random())];
      const at = Math.floor(framesOfAChannel * random());
      const fault: Fault = { size, culprit, other, at, random };
      const seen: number[][] = range(size).map(() => []);
      const settled = await settleRemote({ size, backend, timeoutMs, channels: channels(fault) }, (rank) => {
        const own = trainOn(rank, cube, (step) => {
          if (act && rank.link.rank === culprit && step === 1) return act(rank, fault);
          return undefined;
        });
        return untilFailure(rank.link, own, (got) => seen[rank.link.rank].push(...got));
      });
      const told = `seed ${seed}, culprit ${culprit}, other ${other}, at ${at}`;
      for (const got of seen) equal(got, losses.slice(0, got.length), told);
      const errors = settled.map((each) => (each.status === "rejected" ? (each.reason as Error) : undefined));
      const nobody = errors.every((error) => error === undefined);
      if (nobody) {
        // Its channel had fewer frames than that.
        ok(!act, `${told}: no rank failed`);
        for (const got of seen) equal(got, losses, told);
      } else {
        failed++;
        for (const [rank, error] of errors.entries()) {
          // Where a channel fails with its last frames, other ranks have all that they wait for.
          if (rank === culprit || (!error && seen[rank].length === losses.length)) continue;
          instance(error, CommunicationError, `${told}: rank ${rank} ended with ${error}`);
          const { message, rank: blamed } = error as CommunicationError;
          ok((named?.(fault) ?? [culprit]).includes(blamed), `${told}: rank ${rank} blames ${blamed}: ${message}`);
          ok(new RegExp(says.source.replaceAll("rank C", `rank ${culprit}`)).test(message), `${told}: ${message}`);
        }
      }
      equal(await handlesLeft(before), [], `${told}: left on the event loop`);
      is(backend.memory.total, 0, `${told}: left on the device`);
    }
    // In one run or two its point may lie beyond the last frame.
    ok(failed > 0 || runs < 5, "the fault was never met");
    // Four of the others, on a mesh of their own.
    const again = await settleRemote({ size: 4, backend, timeoutMs }, (rank) => trainOn(rank, smaller));
    for (const each of again) equal(each.status === "fulfilled" && each.value, await lossesOfLoopback(smaller));
    is(backend.memory.total, 0);
  });

/** A program that stops for good is ended by whoever started it. */
async function untilFailure<T>(link: RemoteLink, program: Promise<T>, done: (result: T) => void): Promise<T> {
  let timer: ReturnType<typeof setInterval> | undefined;
  const failed = new Promise<never>((_, reject) => {
    timer = setInterval(() => link.failure && reject(link.failure), 20);
  });
  try {
    const result = await Promise.race([program, failed]);
    done(result);
    return result;
  } finally {
    clearInterval(timer);
  }
}

test("no promise of all these runs failed unseen", async () => {
  await new Promise((resolve) => setTimeout(resolve, 5));
  equal(rejections, []);
});

test.run();
