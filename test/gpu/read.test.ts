// What is read is what was there when it was asked for, as numbers and as bytes.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { backendUnderTest, closeBackend } from "./harness.ts";
import { normal } from "./oracle/random.ts";

/** Short, longer than what goes through a ring, and longer than what a copy has at hand. */
for (const length of [1, 777, 20_001, 300_000])
  test(`${length} elements as bytes, behind room: the kernels before count, the write after does not`, async () => {
    const backend = await backendUnderTest();
    const [x, y] = [0, 1].map(() => backend.allocate({ dtype: "f32", length: length + 3, purpose: "scratch" }));
    const values = normal(length + 3, { seed: 1 });
    backend.write(x, values);
    backend.run("scale", { x, y, n: length + 3, alpha: 2 });
    const reading = [
      backend.readBytes(y, { length, room: 16 }),
      backend.readBytes(y, { length, room: 0 }),
      backend.readBytes(y, { length: 0, room: 8 }),
      backend.readBytes(y, { length, room: 16, into: new Uint8Array(16 + 4 * length).fill(255) }),
      backend.readBytes(y, { length, room: 16, into: new Uint8Array(100 + 4 * length).fill(255) }),
    ];
    backend.write(y, new Float32Array(length + 3));
    const [behind, plain, none, ...given] = await Promise.all(reading);
    const expected = values.subarray(0, length).map((value) => 2 * value);
    assert.is(behind.length, 16 + 4 * length);
    assert.is(behind.byteOffset, 0);
    assert.is(behind.buffer.byteLength, behind.length);
    assert.equal(new Float32Array(behind.buffer, 16), expected);
    assert.equal(new Float32Array(plain.buffer), expected);
    assert.is(none.length, 8);
    for (const [i, bytes] of given.entries()) {
      assert.equal([bytes.byteOffset, bytes.length], [0, 16 + 4 * length]);
      assert.is(bytes.buffer.byteLength, [16, 100][i] + 4 * length, "memory that was given");
      assert.equal(new Float32Array(bytes.buffer, 16, length), expected);
    }
    assert.equal(await backend.read(y, 2 < length ? 2 : 1), new Float32Array(2 < length ? 2 : 1));
    backend.free(x);
    backend.free(y);
  });

test.after(closeBackend);
test.run();
