// A product on devices that are not there: its words against the closed form, its time against what can be said without simulating.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { productReceived } from "../../src/parallel/product-volume.ts";
import { meshShape } from "../../src/parallel/shape.ts";
import { profileNamed } from "../../src/plan/profiles.ts";
import { simulateProduct } from "../../src/plan/simulate-product.ts";
import { refuses } from "./refusal.ts";

const size = { m: 1000, n: 640, k: 760 };
const profile = profileNamed("h100");

for (const dims of [[1], [4], [7], [2, 2], [3, 3], [2, 2, 2], [2, 2, 3], [8, 8]])
  for (const form of ["AB", "ABT", "ATB"] as const)
    test(`${form} on ${dims.join("x")}: each rank receives its closed form; flops and times add up`, async () => {
      const shape = meshShape({ dims });
      const { seconds, devices, wordsReceived, kernels, messages } = await simulateProduct({
        ...{ shape, form, size, profile },
      });
      const received = new Array(shape.size).fill(0);
      for (const { to, words } of messages) received[to] += words;
      for (let rank = 0; rank < shape.size; rank++) {
        const closed = productReceived({ mesh: shape, rank, form, size });
        assert.is(wordsReceived[rank], closed.words);
        assert.is(received[rank], closed.words);
        assert.is(messages.filter(({ to }) => to === rank).length, closed.messages);
        const { computing, hidden, exposed, idle } = devices[rank];
        assert.ok(Math.abs(computing + hidden + exposed + idle - seconds) <= 1e-9 * seconds);
        const own = kernels.filter((kernel) => kernel.rank === rank);
        const busy = own.reduce((sum, { start, end }) => sum + end - start, 0);
        assert.ok(Math.abs(busy - computing - hidden) <= 1e-9 * seconds);
        // One at a time.
        for (const [at, { start }] of own.entries()) if (at > 0) assert.ok(start >= own[at - 1].end);
      }
      const flops = kernels.reduce((sum, each) => sum + each.flops, 0);
      assert.ok(flops >= 2 * size.m * size.n * size.k, `${flops} flops`);
      const last = Math.max(...[...kernels, ...messages].map(({ end }) => end));
      assert.is(last, seconds);
      assert.ok([...kernels, ...messages].every(({ start, end }) => start >= 0 && end > start));
    });

test("what cannot be a product, or not be counted, is refused in words", async () => {
  const of = { shape: meshShape({ dims: [2] }), form: "AB" as const, profile };
  const refusal = async (m: number) => {
    const error = await simulateProduct({ ...of, size: { m, n: m, k: m } }).catch((reason: unknown) => reason);
    return () => {
      throw error;
    };
  };
  refuses(await refusal(0), /sizes must be whole numbers from 1/);
  refuses(await refusal(2 ** 20), /use smaller sizes/);
});

test.run();
