// On whose account the memory of tensors under way in one process is, and that nobody writes to it meanwhile.

import { test } from "uvu";
import { equal, is, match, ok } from "uvu/assert";
import { runRanks } from "../../src/comm/loopback.ts";
import { constant } from "../../src/tensor/tensor.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import { failuresOf, memberOf, purpose, turn } from "./loopback-ranks.ts";
import { unhandledRejections } from "./ranks.ts";

const rejections = unhandledRejections();
test.after(closeBackend);

test("a lent tensor is its owner's memory and the borrower's scratch, and outlives the owner's handle", async () => {
  const backend = await backendUnderTest();
  await runRanks({ size: 2, backend }, async (rank) => {
    const { group, backend: own } = memberOf(rank);
    const { memory } = own;
    const data = Float32Array.of(1, 2, 3);
    if (rank.link.rank === 0) {
      const x = constant(own, { shape: [3], data, purpose: "weights" });
      const y = await group.broadcast(x, { root: 0, shape: [3], purpose });
      await group.barrier({ purpose });
      is(memory.bytes.weights, 12, "the owner's");
      is(x.storage.shared, true, "in place it may not be written");
      y.dispose();
      is(x.storage.shared, true, "nor while another rank reads it");
      x.dispose();
      is(memory.total, 0, "let go");
      await group.barrier({ purpose });
      await group.barrier({ purpose });
      return;
    }
    const x = await group.broadcast(undefined, { root: 0, shape: [3], purpose });
    is(memory.bytes.scratch, 12, "the borrower's");
    ok(x.storage.borrowed);
    await group.barrier({ purpose });
    await group.barrier({ purpose });
    is(backend.memory.total, 12, "still there");
    equal(await x.read(), data);
    x.dispose();
    is(memory.total, 0, "given back");
    is(backend.memory.total, 0, "freed");
    await group.barrier({ purpose });
  });
  is(backend.memory.total, 0);
});

test("what was lent may be written again once it is given back", async () => {
  const backend = await backendUnderTest();
  await runRanks({ size: 2, backend }, async (rank) => {
    const { group, tensor } = memberOf(rank);
    if (rank.link.rank === 1) {
      (await group.receive({ from: 0, tag: "t", shape: [2], purpose })).dispose();
      return group.barrier({ purpose });
    }
    using x = tensor([2]);
    group.send(x, { to: 1, tag: "t", purpose });
    is(x.storage.shared, true);
    await group.barrier({ purpose });
    is(x.storage.shared, false);
  });
  is(backend.memory.total, 0);
});

test("what a rank has sent, and nobody has taken yet, is on its own account though it has disposed its handle", async () => {
  const backend = await backendUnderTest();
  await runRanks({ size: 2, backend }, async (rank) => {
    const { group, tensor, backend: own } = memberOf(rank);
    if (rank.link.rank === 0) {
      const x = tensor([5]);
      group.send(x, { to: 1, tag: "t", purpose });
      x.dispose();
      is(own.memory.bytes.weights, 20);
      await group.barrier({ purpose });
      await group.barrier({ purpose });
      is(own.memory.total, 0);
    } else {
      await group.barrier({ purpose });
      using x = await group.receive({ from: 0, tag: "t", shape: [5], purpose });
      is(own.memory.bytes.scratch, 4 * x.size);
      await group.barrier({ purpose });
    }
  });
  is(backend.memory.total, 0);
});

test("a weight that is under way to another rank, or lent to it, is not updated", async () => {
  const backend = await backendUnderTest();
  await runRanks({ size: 2, backend }, async (rank) => {
    const { group, tensor, backend: own } = memberOf(rank);
    using w = tensor([2]);
    using others = tensor([2]);
    const { buffer } = others;
    using normSquared = tensor([1]);
    const update = () =>
      own.run("adamw", {
        ...{ w: w.buffer, g: buffer, m: buffer, v: buffer, normSquared: normSquared.buffer, n: 2 },
        ...{ learningRate: 0.1, beta1: 0.9, beta2: 0.9, eps: 1e-8, weightDecay: 0, clip: 0 },
        ...{ correction1: 1, correction2: 1, lossScale: 1 },
      });
    const refused = () => {
      let message = "";
      try {
        update();
      } catch (error) {
        message = (error as Error).message;
      }
      match(message, /a weight is updated while another rank reads it/);
    };
    if (rank.link.rank === 0) {
      group.send(w, { to: 1, tag: "w", purpose });
      refused();
      await group.barrier({ purpose });
      refused();
      await group.barrier({ purpose });
    } else {
      using lent = await group.receive({ from: 0, tag: "w", shape: [2], purpose });
      await group.barrier({ purpose });
      await group.barrier({ purpose });
      is(lent.size, 2);
    }
  });
  is(backend.memory.total, 0);
});

test("a sum never goes to memory that somebody else holds", async () => {
  const { outcome } = await failuresOf(2, async ({ group, tensor }) => {
    const x = tensor([2]);
    const held = x.storage.retain();
    await group.reduce(x, { root: 0, purpose });
    held.release();
  });
  match((outcome as Error).message, /a sum goes to memory that somebody else reads/);
});

test("no promise of all these runs failed unseen", async () => {
  await turn();
  equal(rejections, []);
});

test.run();
