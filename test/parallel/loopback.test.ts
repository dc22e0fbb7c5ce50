// How a run of ranks fails: every rank learns who and why, nothing hangs, no promise fails unseen, no memory is left.

import { test } from "uvu";
import { equal, instance, is, match } from "uvu/assert";
import { OutOfMemoryError, UserError } from "../../src/backend/errors.ts";
import { CommunicationError } from "../../src/comm/link.ts";
import { type Rank, runRanks } from "../../src/comm/loopback.ts";
import { constant } from "../../src/tensor/tensor.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import { checkAllFail, failuresOf, type Member, memberOf, purpose, turn } from "./loopback-ranks.ts";
import { unhandledRejections } from "./ranks.ts";

const never = () => new Promise<never>(() => {});

const rejections = unhandledRejections();
test.after(closeBackend);

/** Two ranks' programs that are no pair, and what the error says of each. */
const mismatches: [string, RegExp, (member: Member) => Promise<unknown>][] = [
  [
    "one broadcasts, the other sums",
    /broadcast \[2\] from rank 0 by direct for test.* allReduce sum \[2\]/,
    async ({ rank, group, tensor }) => {
      if (rank === 1) await group.allReduce(tensor([2]), { purpose });
      // The root of a broadcast waits for nobody: it is told when it comes next.
      else await group.broadcast(tensor([2]), { root: 0, shape: [2], purpose });
      await turn();
      await group.barrier({ purpose });
    },
  ],
  ["shapes", /sum \[2\].* sum \[3\]/, ({ rank, group, tensor }) => group.allReduce(tensor([2 + rank]), { purpose })],
  [
    "equal numbers of elements in other shapes",
    /sum \[2,3\].* sum \[3,2\]/,
    ({ rank, group, tensor }) => group.reduce(tensor(rank ? [3, 2] : [2, 3]), { root: 0, purpose }),
  ],
  ["roots", /to rank 0.* to rank 1/, ({ rank, group, tensor }) => group.reduce(tensor([2]), { root: rank, purpose })],
  [
    "algorithms",
    /by tree.* by ring/,
    ({ rank, group, tensor }) => group.allReduce(tensor([2]), { purpose, algorithm: rank ? "ring" : "tree" }),
  ],
  [
    "sum and maximum",
    /sum \[2\].* max \[2\]/,
    ({ rank, group, tensor }) => group.allReduce(tensor([2]), { purpose, combine: rank ? "max" : "sum" }),
  ],
  [
    "purposes",
    /for forward.* for backward/,
    ({ rank, group, tensor }) => group.allReduce(tensor([2]), { purpose: rank ? "backward" : "forward" }),
  ],
  [
    "the order of two calls",
    /allReduce.*allGather/,
    async ({ rank, group, tensor }) => {
      const calls = [() => group.allReduce(tensor([2]), { purpose }), () => group.allGather(tensor([2]), { purpose })];
      for (const call of rank ? calls.reverse() : calls) await call();
    },
  ],
  [
    "parts that differ without saying so",
    /allGather of \[2\].* allGather of \[3\]/,
    ({ rank, group, tensor }) => group.allGather(tensor([2 + rank]), { purpose }),
  ],
  [
    "the shape of another's part",
    /allGather of \[2\] \[3\].* allGather of \[2\] \[4\]/,
    ({ rank, group, tensor }) => {
      const shapes = [[2], [3 + rank]];
      return group.allGather(tensor(shapes[rank]), { purpose, shapes });
    },
  ],
];

for (const [what, says, program] of mismatches)
  test(`ranks that disagree about ${what} both fail, with both calls named`, () =>
    checkAllFail({ size: 2, program, rank: 1, says }));

test("a tag sent with one shape and received with another: both fail, whichever comes first", async () => {
  for (const late of [0, 1])
    await checkAllFail({
      size: 2,
      rank: 1,
      says: /ranks disagree at world tag t: rank 0 calls send \[2\], rank 1 calls send \[3\]/,
      program: async ({ rank, group, tensor }) => {
        if (rank === late) await turn();
        if (rank === 1) return group.receive({ from: 0, tag: "t", shape: [3], purpose });
        group.send(tensor([2]), { to: 1, tag: "t", purpose });
        return group.barrier({ purpose });
      },
    });
});

test("a rank that makes one call fewer and ends: those who wait for it, then or later, are told", async () => {
  for (const late of [0, 1])
    await checkAllFail({
      size: 3,
      program: async ({ rank, group, tensor }) => {
        if ((rank === 1) === (late === 1)) await turn();
        if (rank !== 1) await group.allReduce(tensor([2]), { purpose, algorithm: "ring" });
      },
      rank: 1,
      told: [0, 2],
      says: /rank 1 has ended, but rank \d (waits for it|sends to it) in allReduce sum \[2\] by ring for test \(world call 0\)/,
    });
});

test("a rank that waits for one that has ended already is told at once", () =>
  checkAllFail({
    size: 2,
    program: async ({ rank, group }) => {
      if (rank === 1) return;
      await turn();
      await group.receive({ from: 1, tag: "t", shape: [2], purpose });
    },
    rank: 1,
    told: [0],
    says: /rank 1 has ended, but rank 0 waits for it in send \[2\] \(world tag t\)/,
  }));

test("a rank that ends without taking what was sent to it fails the run, though nobody waits", async () => {
  for (const late of [0, 1])
    await checkAllFail({
      size: 2,
      program: async ({ rank, group, tensor }) => {
        if (rank === late) await turn();
        if (rank === 0) await group.broadcast(tensor([2]), { root: 0, shape: [2], purpose });
      },
      rank: 1,
      told: late === 0 ? [0] : [],
      says: /rank 1 has ended, but rank 0 (sends to it|has sent it something) in broadcast \[2\] from rank 0/,
    });
});

test("a rank that ends while its own call is under way fails the run", () =>
  checkAllFail({
    size: 2,
    program: async ({ rank, group, tensor }) => {
      if (rank === 1) await turn();
      const pending = group.allReduce(tensor([2]), { purpose });
      if (rank === 1) await pending;
    },
    rank: 0,
    told: [1],
    says: /rank 0 has ended, but its own allReduce sum \[2\] .* still waits for rank 1/,
  }));

test("a rank that throws: the run rejects with its very error, others with a CommunicationError that has it as cause", async () => {
  const mistake = new UserError("a mistake of rank 1's");
  const { outcome, errors } = await failuresOf(4, async ({ rank, group, tensor }) => {
    await group.barrier({ purpose });
    if (rank === 1) throw mistake;
    await group.allReduce(tensor([2]), { purpose });
  });
  is(outcome, mistake);
  is(errors[1], mistake);
  for (const rank of [0, 2, 3]) {
    const error = errors[rank] as CommunicationError;
    instance(error, CommunicationError);
    is(error.cause, mistake);
    is(error.rank, 1);
    is(error.message, "rank 1 failed: a mistake of rank 1's");
  }
});

test("an error inside a call that nobody awaits yet ends the run with that very error", async () => {
  const { outcome, errors } = await failuresOf(2, async ({ rank, group, backend, tensor }) => {
    const x = tensor([2]);
    if (rank === 1)
      backend.allocate = () => {
        throw new OutOfMemoryError("no more memory", "allocate");
      };
    const pending = group.allReduce(x, { purpose });
    await turn();
    await group.barrier({ purpose });
    await pending;
  });
  instance(outcome, OutOfMemoryError);
  is((errors[0] as Error).cause, outcome);
});

test("calls asked for ahead whose rank fails before it awaits them are no unhandled rejections", async () => {
  const { outcome } = await failuresOf(3, async ({ rank, group, tensor }) => {
    const ahead = [0, 1].map((root) =>
      group.broadcast(rank === root ? tensor([2]) : undefined, { root, shape: [2], purpose }),
    );
    const sum = group.allReduce(tensor([2]), { purpose });
    if (rank === 2) throw new Error("rank 2 stops");
    await turn();
    await turn();
    await Promise.all([...ahead, sum, group.barrier({ purpose })]);
  });
  is((outcome as Error).message, "rank 2 stops");
});

test("a rank that never answers is named, and the run rejects without it", () =>
  checkAllFail({
    size: 2,
    program: ({ rank, group, tensor }) => (rank === 0 ? never() : group.allReduce(tensor([2]), { purpose })),
    rank: 0,
    told: [1],
    says: /rank 0 has not answered for 0.2 s: rank 1 waits for rank 0 in allReduce sum \[2\] by doubling for test/,
  }));

test("a silent rank is named by ranks that wait for it through others, whoever waits longest", () =>
  checkAllFail({
    size: 3,
    program: async ({ rank, group, tensor }) => {
      if (rank === 2) return never();
      using x = await group.receive({ from: rank + 1, tag: "on", shape: [2], purpose });
      if (rank > 0) group.send(x, { to: rank - 1, tag: "on", purpose });
      return tensor([1]);
    },
    rank: 2,
    told: [0, 1],
    says: /rank 2 has not answered for 0.2 s: rank 0 waits for rank 1 in send .*, rank 1 waits for rank 2 in send \[2\] \(world tag on\)/,
  }));

test("ranks that wait for each other in a circle are told so", async () => {
  const { outcome, errors } = await failuresOf(3, async ({ rank, group }) =>
    group.receive({ from: (rank + 1) % 3, tag: "on", shape: [2], purpose }),
  );
  match((outcome as Error).message, /ranks have waited for each other for 0.2 s: rank 0 waits for rank 1 in/);
  match((outcome as Error).message, /rank 2 waits for rank 0/);
  for (const error of errors) is(error, outcome);
});

test("a rank whose computing blocks everyone for longer than the time-out is not silent", async () => {
  const backend = await backendUnderTest();
  const sums = await runRanks({ size: 2, backend, timeoutMs: 200 }, async (rank) => {
    const { group, tensor } = memberOf(rank);
    if (rank.link.rank === 0)
      for (let turns = 0; turns < 3; turns++) {
        const until = performance.now() + 300;
        while (performance.now() < until);
        await new Promise((resolve) => setTimeout(resolve));
      }
    using x = tensor([2]);
    using y = await group.allReduce(x, { purpose });
    return y.size;
  });
  equal(sums, [2, 2]);
});

test("a program left behind can neither allocate nor run, and what it frees is freed once", async () => {
  const backend = await backendUnderTest();
  let wake = () => {};
  const asleep = new Promise<void>((resolve) => {
    wake = resolve;
  });
  let late: Promise<unknown> | undefined;
  const program = async (rank: Rank) => {
    const { group, tensor } = memberOf(rank);
    using x = tensor([2]);
    if (rank.link.rank === 1) return group.allReduce(x, { purpose });
    await asleep;
    tensor([3]);
    return undefined;
  };
  let outcome: unknown;
  await runRanks({ size: 2, backend, timeoutMs: 100 }, (rank) => {
    const run = program(rank);
    if (rank.link.rank === 0) late = run.catch((error: unknown) => error);
    return run;
  }).catch((error: unknown) => {
    outcome = error;
  });
  match((outcome as Error).message, /rank 0 has not answered/);
  is(backend.memory.total, 0);
  using other = constant(backend, { shape: [2], data: Float32Array.of(1, 2), purpose: "weights" });
  wake();
  match(((await late) as Error).message, /a rank goes on after its run has ended/);
  equal(await other.read(), Float32Array.of(1, 2));
  is(backend.memory.total, 8);
});

test("a program that swallows the failure does not make the run succeed", async () => {
  const { outcome } = await failuresOf(2, async ({ rank, group, tensor }) => {
    await group.allReduce(tensor([2 + rank]), { purpose }).catch(() => undefined);
  });
  instance(outcome, CommunicationError);
});

test("an algorithm, a number of parts or a place that a call has not is refused in a sentence", async () => {
  const wrong: [RegExp, (member: Member) => Promise<unknown>][] = [
    [
      /^reduce has no algorithm doubling; use one of direct, tree, ring$/,
      ({ group, tensor }) => group.reduce(tensor([2]), { root: 0, purpose, algorithm: "doubling" }),
    ],
    [
      /^allToAll in world: got 3 parts for 2 ranks; give one for each$/,
      ({ group, tensor }) => group.allToAll([tensor([2]), tensor([2]), tensor([2])], { purpose }),
    ],
    [
      /^broadcast in world: got place 2, need one from 0 to 1$/,
      ({ group, tensor }) => group.broadcast(tensor([2]), { root: 2, shape: [2], purpose }),
    ],
    [
      /^reduce in world: got place -1, need one from 0 to 1$/,
      ({ group, tensor }) => group.reduce(tensor([2]), { root: -1, purpose }),
    ],
    [
      /^send in world: got place 5, need one from 0 to 1$/,
      async ({ group, tensor }) => group.send(tensor([2]), { to: 5, tag: "t", purpose }),
    ],
    [
      /^receive in world: got place 0.5, need one from 0 to 1$/,
      ({ group }) => group.receive({ from: 0.5, tag: "t", shape: [2], purpose }),
    ],
  ];
  for (const [says, program] of wrong) {
    const { outcome } = await failuresOf(2, program);
    instance(outcome, UserError);
    match((outcome as Error).message, says);
  }
});

test("two messages under one tag, or two waits for it, are refused", async () => {
  const shape = [2];
  const twice: [RegExp, (member: Member) => Promise<unknown>][] = [
    [
      /^rank 0 sends rank 1 two messages at once in send \[2\] \(world tag t\); give each a tag of its own$/,
      async ({ group, tensor }) => {
        for (let n = 0; n < 2; n++) group.send(tensor(shape), { to: 1, tag: "t", purpose });
      },
    ],
    [
      /^rank 0 waits twice for one message of rank 1 in send \[2\] \(world tag t\); give each a tag of its own$/,
      ({ group }) => Promise.all([0, 1].map(() => group.receive({ from: 1, tag: "t", shape, purpose }))),
    ],
  ];
  for (const [says, program] of twice) {
    const { outcome } = await failuresOf(2, async (member) => (member.rank === 0 ? program(member) : turn()));
    match((outcome as Error).message, says);
  }
});

test("no promise of all these runs failed unseen", async () => {
  await turn();
  equal(rejections, []);
});

test.run();
