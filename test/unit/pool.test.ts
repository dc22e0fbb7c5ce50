// Which buffer a pool hands out.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { BufferPool } from "../../src/backend/webgpu/pool.ts";

const pool = () => new BufferPool((size) => ({ size }) as GPUBuffer, 2 ** 30);

test("the same requests give the same buffers, in whatever order the last ones came back", () => {
  const buffers = pool();
  const take = () => [400, 90, 400, 5000, 400, 90].map((bytes) => buffers.take(bytes));
  const first = take();
  for (const order of [
    [0, 1, 2, 3, 4, 5],
    [5, 3, 1, 0, 2, 4],
    [2, 4, 0, 5, 1, 3],
  ]) {
    for (const index of order) buffers.give(first[index]);
    assert.equal(
      take().map(({ id }) => id),
      first.map(({ id }) => id),
    );
  }
});

test.run();
