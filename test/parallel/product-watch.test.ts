// A product that is watched: its messages, by the blocks that they carry, are those that were counted, and bring each rank what its block
// of C is made of.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { measureProduct } from "../../src/cluster/matmul.ts";
import type { WatchedRank } from "../../src/cluster/product-watch.ts";
import type { Form } from "../../src/parallel/operands.ts";
import { meshShape } from "../../src/parallel/shape.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";

const size = { m: 21, n: 10, k: 17 };

test.after(closeBackend);

async function watchedProduct(dims: readonly number[], form: Form) {
  const run = { shape: meshShape({ dims }), form, size, repeats: 1, seed: 3, maxBytes: 1e9, watch: true };
  const backend = await backendUnderTest();
  const { watched, ranks, equal, error } = await measureProduct({ backend }, run);
  assert.ok(equal && error.worst <= 1);
  assert.is(watched?.length, run.shape.size);
  return { watched: watched as WatchedRank[], ranks };
}

for (const dims of [[2], [3], [6], [2, 2], [3, 3], [2, 2, 2], [2, 2, 3], [5, 5]])
  for (const form of ["AB", "ABT", "ATB"] as const)
    test(`${form} on ${dims.join("x")}: every message that was counted is there, with the block that it carries`, async () => {
      const { watched, ranks } = await watchedProduct(dims, form);
      const messages = watched.flatMap((rank) => rank.messages);
      const [q] = dims;
      for (const [rank, { closedFormWords, closedFormMessages }] of ranks.entries()) {
        const here = messages.filter(({ to }) => to === rank);
        assert.is(here.length, closedFormMessages);
        assert.is(
          here.reduce((sum, { words }) => sum + words, 0),
          closedFormWords,
        );
        const { blocks, products } = watched[rank];
        assert.is(products.length, dims.length === 1 ? 1 : q);
        for (const operand of ["a", "b"] as const) {
          const held = here.filter((message) => message.operand === operand);
          if (held.length === 0) continue;
          // With its own, each of the blocks that lie beside each other along the group, once.
          const side = held[0].along === "row" ? "cols" : "rows";
          const parts = [rank, ...held.map(({ owner }) => owner)].map((owner) => watched[owner].blocks[operand][side]);
          parts.sort((one, other) => one.from - other.from);
          assert.is(parts[0].from, 0);
          for (const [at, { from }] of parts.entries()) if (at > 0) assert.is(from, parts[at - 1].to);
          // On a grid C stays where it is: what comes belongs to its rows and columns.
          if (dims.length === 1 || form !== "AB") continue;
          const across = operand === "a" ? "rows" : "cols";
          for (const { owner } of held) assert.equal(watched[owner].blocks[operand][across], blocks.c[across]);
        }
      }
      // SUMMA's step is the place of the block's rank along the group.
      for (const { op, along, step, owner } of messages)
        if (op === "broadcast" || op === "reduce")
          assert.is(step, along === "row" ? owner % q : Math.floor(owner / q) % q);
        else assert.is(step, 0);
      // Nobody sends a block that is neither its own nor has come before.
      for (const { op, from, owner, round } of messages)
        if (op === "allGather" && from !== owner)
          assert.ok(
            messages.some((earlier) => earlier.to === from && earlier.owner === owner && earlier.round < round),
          );
      // By doubling on three planes, the third gets the sum when the others have it.
      const planes = messages.filter(({ op }) => op === "allReduce");
      const last = Math.max(0, ...planes.map(({ round }) => round));
      if (dims[2] === 3) for (const { round, to } of planes) assert.is(round === last, to >= 2 * q * q && round > 0);
      // A sum ends with whose block it is.
      for (const [owner] of watched.entries()) {
        const terms = messages.filter((message) => message.op.startsWith("reduce") && message.owner === owner);
        if (terms.length === 0) continue;
        assert.ok(terms.some(({ to }) => to === owner));
        assert.not(terms.some(({ from }) => from === owner));
        assert.is(terms.length, q - 1);
        assert.is(new Set(terms.map(({ from }) => from)).size, q - 1);
      }
    });

test("a product that nobody watches notes nothing", async () => {
  const backend = await backendUnderTest();
  const run = { shape: meshShape({ dims: [2] }), form: "AB" as const, size, repeats: 1, seed: 3, maxBytes: 1e9 };
  assert.is((await measureProduct({ backend }, run)).watched, undefined);
});

test.run();
