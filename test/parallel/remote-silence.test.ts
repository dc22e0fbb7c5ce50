// Ranks over channels that are slow, silent, or at odds: slow ones are waited for, silent ones named, and those that disagree, end too soon or
// send what nobody asked for are found out at once.

import { test } from "uvu";
import { equal, instance, is, match, ok } from "uvu/assert";
import type { SharedBackend } from "../../src/backend/share.ts";
import { CommunicationError } from "../../src/comm/link.ts";
import { MessagePortChannel } from "../../src/comm/message-port.ts";
import { ProcessGroup } from "../../src/comm/process-group.ts";
import type { RemoteLink } from "../../src/comm/remote.ts";
import { constant, type Shape, type Tensor } from "../../src/tensor/tensor.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import { unhandledRejections } from "./ranks.ts";
import { handlesLeft, openHandles, type RemoteRun, settleRemote } from "./remote-ranks.ts";

const purpose = "test";
const timeoutMs = 400;
/** Nobody waits so long: what is found out at once is found out before. */
const long = 3_600_000;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const rejections = unhandledRejections();
test.after(closeBackend);

interface Member {
  rank: number;
  link: RemoteLink;
  backend: SharedBackend;
  group: ProcessGroup;
  tensor(shape: Shape): Tensor;
}

type Program = (member: Member) => Promise<unknown>;

/** What each rank's program threw, undefined where it ended; programs that stop for good are ended when their link has failed. */
async function errorsOf(run: Omit<RemoteRun, "backend">, program: Program): Promise<(Error | undefined)[]> {
  const backend = await backendUnderTest();
  const before = openHandles();
  const settled = await settleRemote({ ...run, backend }, async ({ link, backend: own }) => {
    const ranks = Array.from({ length: link.size }, (_, rank) => rank);
    const group = new ProcessGroup({ name: "world", ranks, link });
    const tensor = (shape: Shape) => constant(own, { shape, purpose: "weights" });
    let timer: ReturnType<typeof setInterval> | undefined;
    const failed = new Promise<never>((_, reject) => {
      timer = setInterval(() => link.failure && reject(link.failure), 20);
    });
    try {
      await Promise.race([program({ rank: link.rank, link, backend: own, group, tensor }), failed]);
    } finally {
      clearInterval(timer);
      own.dispose();
    }
  });
  equal(await handlesLeft(before), [], "nothing is left on the event loop");
  is(backend.memory.total, 0, "nothing is left on the device");
  return settled.map((each) => (each.status === "rejected" ? (each.reason as Error) : undefined));
}

/** Every rank, or those that are told, fails with an error about `rank` that says so. */
async function allFail(
  { rank, says, told, ...run }: Omit<RemoteRun, "backend"> & { rank: readonly number[]; says: RegExp; told?: number[] },
  program: Program,
): Promise<void> {
  const errors = await errorsOf(run, program);
  for (const at of told ?? errors.keys()) {
    const error = errors[at] as CommunicationError;
    instance(error, CommunicationError, `rank ${at}: ${error}`);
    match(error.message, says);
    ok(rank.includes(error.rank), `rank ${at} blames ${error.rank}: ${error.message}`);
  }
}

const take = async ({ group }: Member, from: number, tag: string) =>
  (await group.receive({ from, tag, shape: [2], purpose })).dispose();

function give({ group, tensor }: Member, to: number, tag: string): void {
  using x = tensor([2]);
  group.send(x, { to, tag, purpose });
}

// ---- slow, but alive -----------------------------------------------------------------------------------------------------

test("a rank may wait longer than the time-out for one that waits itself, link by link", async () => {
  const errors = await errorsOf({ size: 5, timeoutMs }, async (member) => {
    const { rank } = member;
    if (rank < 4) await take(member, rank + 1, "on");
    await pause(timeoutMs / 2);
    if (rank > 0) give(member, rank - 1, "on");
  });
  equal(errors, new Array(5).fill(undefined));
});

test("a rank may wait longer than the time-out for one that is busy with others", async () => {
  const errors = await errorsOf({ size: 3, timeoutMs }, async (member) => {
    const { rank } = member;
    if (rank === 0) return take(member, 1, "at last");
    for (let turn = 0; turn < 10; turn++) {
      give(member, 3 - rank, `turn ${turn}`);
      await take(member, 3 - rank, `turn ${turn}`);
      await pause(timeoutMs / 4);
    }
    if (rank === 1) give(member, 0, "at last");
  });
  equal(errors, [undefined, undefined, undefined]);
});

test("a rank that has ended waits for the others, however long they take alone", async () => {
  const ended: number[] = [];
  const errors = await errorsOf({ size: 3, timeoutMs }, async ({ rank }) => {
    await pause([0, 1.5, 3][rank] * timeoutMs);
    ended.push(rank);
  });
  equal(errors, [undefined, undefined, undefined]);
  equal(ended, [0, 1, 2]);
});

test("blocks asked for ahead of a slow rank's step are no circle", async () => {
  // Each waits for the other's next block, and rank 0 for a slow third: the circle opens when that one comes.
  const errors = await errorsOf({ size: 3, timeoutMs }, async (member) => {
    const { rank } = member;
    if (rank === 2) {
      for (const tag of ["a", "b", "c"]) {
        await pause(0.7 * timeoutMs);
        give(member, 0, tag);
      }
      return;
    }
    const ahead = take(member, 1 - rank, "next");
    if (rank === 0) {
      for (const tag of ["a", "b", "c"]) await take(member, 2, tag);
      give(member, 1, "next");
      await ahead;
    } else {
      await ahead;
      give(member, 0, "next");
    }
  });
  equal(errors, [undefined, undefined, undefined]);
});

// ---- silent --------------------------------------------------------------------------------------------------------------

test("a rank that does nothing is named by all, those that wait for it through others too", () =>
  allFail(
    {
      size: 4,
      timeoutMs,
      rank: [3],
      says: /^rank 3 has not answered for 0\.4 s: rank 2 waits for rank 3 in send \[2\]/,
    },
    async (member) => {
      const { rank } = member;
      if (rank === 3) await new Promise(() => undefined);
      await take(member, rank + 1, "on");
    },
  ));

test("ranks that wait for each other in a circle are told so, each with its call", () =>
  allFail(
    {
      ...{ size: 3, timeoutMs, rank: [0, 1, 2] },
      says: /^ranks have waited for each other for 0\.4 s: (rank \d waits for rank \d in send \[2\] \(world tag on\),? ?){3}/,
    },
    (member) => take(member, (member.rank + 1) % 3, "on"),
  ));

test("one that never comes to its end, and can say nothing, is named by those that have", async () => {
  const { port1, port2 } = new MessageChannel();
  const mute = new MessagePortChannel(port2);
  mute.send = () => undefined;
  const channels = [
    [undefined, new MessagePortChannel(port1)],
    [mute, undefined],
  ];
  await allFail(
    {
      size: 2,
      timeoutMs,
      channels,
      rank: [1],
      says: /^rank 1 has given no sign of life for 0\.4 s: rank 0 has ended/,
      told: [0],
    },
    async ({ rank, link }) => {
      if (rank === 1) while (!link.failure) await pause(10);
    },
  );
});

// ---- at odds -------------------------------------------------------------------------------------------------------------

const mismatches: [string, RegExp, Program][] = [
  [
    "one broadcasts, the other sums",
    /broadcast \[2\] from rank 0 by direct for test.* allReduce sum \[2\]|allReduce sum \[2\].* broadcast \[2\]/,
    async ({ rank, group, tensor }) => {
      if (rank === 1) await group.allReduce(tensor([2]), { purpose });
      else await group.broadcast(tensor([2]), { root: 0, shape: [2], purpose });
      await group.barrier({ purpose });
    },
  ],
  ["shapes", /sum \[\d\].* sum \[\d\]/, ({ rank, group, tensor }) => group.allReduce(tensor([2 + rank]), { purpose })],
  [
    "algorithms",
    /by (tree|ring).* by (ring|tree)/,
    ({ rank, group, tensor }) => group.allReduce(tensor([2]), { purpose, algorithm: rank ? "ring" : "tree" }),
  ],
  [
    "purposes",
    /for (for|back)ward.* for (for|back)ward/,
    ({ rank, group, tensor }) => group.allReduce(tensor([2]), { purpose: rank ? "backward" : "forward" }),
  ],
  [
    "the order of two calls",
    /allReduce.*allGather|allGather.*allReduce/,
    async ({ rank, group, tensor }) => {
      const calls = [() => group.allReduce(tensor([2]), { purpose }), () => group.allGather(tensor([2]), { purpose })];
      for (const call of rank ? calls.reverse() : calls) await call();
    },
  ],
];

for (const [what, says, program] of mismatches)
  test(`ranks that disagree about ${what} are told at once, with both calls named`, () =>
    allFail(
      {
        size: 2,
        timeoutMs: long,
        rank: [0, 1],
        says: new RegExp(`^ranks disagree at world call \\d: .*(${says.source})`),
      },
      program,
    ));

test("a rank that ends while others wait for it, or send to it, is named at once", async () => {
  for (const late of [0, 1])
    await allFail(
      {
        ...{ size: 3, timeoutMs: long, rank: [1], told: [0, 2] },
        says: /^rank 1 has ended, but rank \d (waits for it|sends to it|has sent it something) in allReduce sum \[2\] by ring for test \(world call 0\)/,
      },
      async ({ rank, group, tensor }) => {
        if ((rank === 1) === (late === 1)) await pause(20);
        if (rank !== 1) await group.allReduce(tensor([2]), { purpose, algorithm: "ring" });
      },
    );
});

test("a rank that ends without taking what was sent to it fails the run, whichever is first", async () => {
  for (const late of [0, 1]) {
    const errors = await errorsOf({ size: 2, timeoutMs: long }, async (member) => {
      if (member.rank === late) await pause(20);
      if (member.rank === 0) give(member, 1, "t");
    });
    const failed = errors.filter((error) => error !== undefined);
    ok(failed.length > 0, "nobody noticed");
    for (const error of failed)
      match(
        error.message,
        /^rank 1 has ended, but rank 0 (sends to it in|has sent it something in) send \[2\] \(world tag t\)/,
      );
  }
});

test("a rank that sends more than is kept for those who have not asked is at fault", () =>
  allFail(
    {
      ...{ size: 2, timeoutMs: long, maxHeldBytes: 100_000, rank: [0] },
      says: /^rank 0 has sent \d+ bytes that nobody asked for, at most 100000 are kept; rank 1 waits for it in send \[2\] \(world tag never\)/,
    },
    async (member) => {
      const { rank, group, tensor } = member;
      if (rank === 1) return take(member, 0, "never");
      using x = tensor([2500]);
      for (let n = 0; n < 12; n++) group.send(x, { to: 1, tag: `t${n}`, purpose });
      await take(member, 1, "never");
    },
  ));

test("messages that are taken are not held against their sender", async () => {
  const errors = await errorsOf({ size: 2, timeoutMs: long, maxHeldBytes: 30_000 }, async ({ rank, group, tensor }) => {
    using x = tensor([2500]);
    for (let n = 0; n < 20; n++) {
      (await group.broadcast(rank === 0 ? x : undefined, { root: 0, shape: [2500], purpose })).dispose();
      await group.barrier({ purpose });
    }
  });
  equal(errors, [undefined, undefined]);
});

test("a rank whose device fails to give what it sends is named, with its reason and its call", () =>
  allFail(
    {
      size: 3,
      timeoutMs: long,
      rank: [1],
      says: /^rank 1 failed: the device is lost; rank 1 .* allReduce sum \[2\]/,
      told: [0, 2],
    },
    ({ rank, group, tensor, backend }) => {
      if (rank === 1) backend.readBytes = () => Promise.reject(new Error("the device is lost"));
      return group.allReduce(tensor([2]), { purpose });
    },
  ));

test("a link that is closed before its end is a failure that others are told", () =>
  allFail(
    {
      size: 2,
      timeoutMs: long,
      rank: [1],
      says: /^rank 1 failed: its link was closed before its end; rank 1 has made no call yet/,
    },
    async (member) => {
      if (member.rank === 1) member.link.close();
      await take(member, 1 - member.rank, "t");
    },
  ));

test("a tag longer than a frame takes is refused to its sender", async () => {
  const [error] = await errorsOf({ size: 2, timeoutMs: long }, async ({ rank, group, tensor }) => {
    if (rank === 0) group.send(tensor([2]), { to: 1, tag: "x".repeat(70_000), purpose });
    else await group.receive({ from: 0, tag: "t", shape: [2], purpose });
  });
  match(String(error), /a tag of 70000 bytes, at most 65536/);
});

test("a port delivers what was sent before it was closed, then says so", async () => {
  const { port1, port2 } = new MessageChannel();
  const [here, there] = [new MessagePortChannel(port1), new MessagePortChannel(port2)];
  for (let n = 0; n < 300; n++) here.send(new Uint8Array(1000).fill(n % 256));
  here.close();
  here.send(new Uint8Array(1));
  const got: number[] = [];
  const reason = await new Promise<string>((resolve) =>
    there.listen({ message: (bytes) => got.push(bytes.length === 1000 ? bytes[0] : -1), closed: resolve }),
  );
  equal(
    got,
    Array.from({ length: 300 }, (_, n) => n % 256),
  );
  is(reason, "it has closed its side");
});

test("no promise of all these runs failed unseen", async () => {
  await pause(5);
  equal(rejections, []);
});

test.run();
