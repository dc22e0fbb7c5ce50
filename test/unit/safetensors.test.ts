import fc from "fast-check";
import { test } from "uvu";
import { equal, is, ok } from "uvu/assert";
import {
  type HostTensor,
  readMetadata,
  readSafetensors,
  requireTensor,
  writeSafetensors,
} from "../../src/train/safetensors.ts";
import { refuses, unlessRefused } from "./refusal.ts";

const product = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** A file of a given header text and data. */
function file(header: string | object, data: ArrayLike<number> = []): Uint8Array {
  const text = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + text.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  bytes.set(data, 8 + text.length);
  return bytes;
}
const one = (entry: object, data: ArrayLike<number> = new Uint8Array(8)) =>
  file({ a: { dtype: "F32", shape: [2], data_offsets: [0, 8], ...entry } }, data);
const bytesOf = (array: ArrayBufferView) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

const tensor: fc.Arbitrary<HostTensor> = fc
  .tuple(fc.boolean(), fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 }), fc.infiniteStream(fc.integer()))
  .map(([float, shape, stream]) => {
    const bits = Int32Array.from({ length: product(shape) }, () => stream.next().value);
    return float ? { dtype: "f32", shape, data: new Float32Array(bits.buffer) } : { dtype: "i32", shape, data: bits };
  });
const reserved = ["__proto__", "constructor", "prototype", "__metadata__"];
const name = fc.string({ unit: "binary-ascii" }).filter((name) => !reserved.includes(name));
const tensors = fc.array(fc.tuple(name, tensor), { maxLength: 5 }).map((list) => new Map(list));

/** Equal bit for bit, NaNs included. */
function assertSame(got: ReadonlyMap<string, HostTensor>, wanted: ReadonlyMap<string, HostTensor>) {
  equal([...got.keys()].sort(), [...wanted.keys()].sort());
  for (const [name, { dtype, shape, data }] of wanted) {
    equal([got.get(name)?.dtype, got.get(name)?.shape], [dtype, shape]);
    equal(bytesOf(got.get(name)!.data), bytesOf(data));
  }
}

test("what is written reads back bit for bit, from any alignment", () => {
  fc.assert(
    fc.property(tensors, fc.integer({ min: 0, max: 7 }), (original, shift) => {
      const written = writeSafetensors(original);
      const shifted = new Uint8Array(written.length + shift).subarray(shift);
      shifted.set(written);
      assertSame(readSafetensors(shifted), original);
      // Node's Buffer, which readFile returns, is a Uint8Array whose slice() shares memory.
      assertSame(readSafetensors(Buffer.from(shifted.buffer, shift)), original);
    }),
  );
});

test("metadata reads back and is no tensor", () => {
  const bytes = writeSafetensors(new Map([["a", { dtype: "i32", shape: [1], data: Int32Array.of(7) }]]), {
    step: "12",
  });
  equal([...readMetadata(bytes)], [["step", "12"]]);
  equal([...readSafetensors(bytes).keys()], ["a"]);
  equal([...readMetadata(file({}))], []);
  refuses(() => readSafetensors(file({ __metadata__: { step: 12 } })), /"__metadata__" is not an object of strings/);
});

test("every truncation and every extension of a file is refused", () => {
  const bytes = writeSafetensors(new Map([["w", { dtype: "f32", shape: [3], data: Float32Array.of(1, 2, 3) }]]));
  for (let length = 0; length < bytes.length; length++)
    refuses(() => readSafetensors(bytes.subarray(0, length)), /^safetensors: /);
  refuses(() => readSafetensors(Uint8Array.of(...bytes, 0)), /the last 1 bytes belong to no tensor/);
});

test("corrupted files read as well-formed tensors or throw UserError, nothing else", () => {
  const change = fc.record({
    at: fc.nat(),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 4 }),
    header: fc.boolean(),
  });
  fc.assert(
    fc.property(tensors, fc.array(change, { minLength: 1, maxLength: 4 }), (original, changes) => {
      const bytes = writeSafetensors(original);
      const headerEnd = 8 + new DataView(bytes.buffer).getUint32(0, true);
      for (const { at, bytes: replacement, header } of changes) {
        const limit = header ? headerEnd : bytes.length;
        for (let i = 0; i < replacement.length; i++) bytes[(at + i) % limit] = replacement[i];
      }
      const read = unlessRefused(() => readSafetensors(bytes));
      if (!read) return;
      let total = 0;
      for (const { shape, data } of read.values()) {
        is(data.length, product(shape));
        total += data.length;
      }
      ok(total * 2 <= bytes.length, "no more elements than the file can hold");
    }),
    { numRuns: 2000 },
  );
});

test("headers of arbitrary JSON and of arbitrary bytes read or throw UserError", () => {
  const piece = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom("F32", [0, 4], { dtype: "F32", shape: [1], data_offsets: [0, 4] }),
  );
  const entry = fc.record({ dtype: piece, shape: piece, data_offsets: piece }, { requiredKeys: [] });
  const json = fc.oneof(fc.jsonValue(), fc.dictionary(fc.string(), fc.oneof(entry, piece)));
  fc.assert(
    fc.property(
      json,
      fc.uint8Array(),
      (header, data) => void unlessRefused(() => readSafetensors(file(header as object, data))),
    ),
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => void unlessRefused(() => readSafetensors(bytes))));
});

test("a header length of 10 GB, or beyond the file, is refused without being believed", () => {
  const huge = new Uint8Array(64);
  for (const length of [10_000_000_000n, 2n ** 63n, 2n ** 64n - 1n, 57n]) {
    new DataView(huge.buffer).setBigUint64(0, length, true);
    refuses(() => readSafetensors(huge), /got a header length of \d+(e\+\d+)? in a file of 64 bytes/);
  }
});

test("headers that are no UTF-8, no JSON or no object are refused", () => {
  const broken = file("{}");
  broken[8] = 0xff;
  refuses(() => readSafetensors(broken), /not UTF-8/);
  refuses(() => readSafetensors(file("{")), /not JSON/);
  refuses(() => readSafetensors(file("[]")), /the header is a list, need an object/);
  refuses(() => readSafetensors(file("null")), /the header is null/);
  refuses(() => readSafetensors(file("[".repeat(200_000))), /not JSON/);
  refuses(() => readSafetensors(file(`${"[".repeat(200_000)}${"]".repeat(200_000)}`)), /a list/);
});

test("duplicate keys are refused, escaped ones and a tensor's own fields too", () => {
  const entry = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}';
  const data = new Uint8Array(4);
  refuses(() => readSafetensors(file(`{"a":${entry},"a":${entry}}`, data)), /has "a" twice/);
  refuses(() => readSafetensors(file(`{"a":${entry},"\\u0061" :${entry}}`, data)), /has "a" twice/);
  refuses(() => readSafetensors(file(`{"a":{"dtype":"F32",${entry.slice(1)}}`, data)), /has "dtype" twice/);
  is(readSafetensors(file(`{"\\"a\\":{":${entry}}`, data)).size, 1);
});

test("prototype names are refused in reading and in writing", () => {
  for (const name of ["__proto__", "constructor", "prototype"]) {
    refuses(
      () => readSafetensors(file(`{"${name}":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, new Uint8Array(4))),
      /reserved name/,
    );
    let thrown: unknown;
    try {
      writeSafetensors(new Map([[name, { dtype: "f32", shape: [0], data: new Float32Array() }]]));
    } catch (error) {
      thrown = error;
    }
    ok(thrown instanceof RangeError);
  }
  is(readSafetensors(file('{"toString":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}', new Uint8Array(4))).size, 1);
});

test("offsets that overlap, leave holes, run past the end or backwards are refused", () => {
  const two = (a: number[], b: number[], length: number) => {
    const entry = (data_offsets: number[]) => ({
      dtype: "F32",
      shape: [(data_offsets[1] - data_offsets[0]) / 4],
      data_offsets,
    });
    return () => readSafetensors(file({ a: entry(a), b: entry(b) }, new Uint8Array(length)));
  };
  refuses(two([0, 8], [4, 12], 12), /"b" overlaps "a"/);
  refuses(two([0, 8], [0, 8], 8), /"b" overlaps "a"/);
  refuses(two([0, 4], [8, 12], 12), /4 bytes before "b" belong to no tensor/);
  refuses(two([4, 8], [8, 12], 12), /4 bytes before "a" belong to no tensor/);
  refuses(two([0, 4], [4, 16], 12), /"b" ends at byte 16 of 12/);
  refuses(() => readSafetensors(one({ data_offsets: [8, 0] })), /begins at 8 and ends at 0/);
  for (const data_offsets of [[0], [0, 8, 8], [0.5, 8], [-8, 0], ["0", "8"], null, [0, 1e300]]) {
    refuses(() => readSafetensors(one({ data_offsets })), /data_offsets that are not two whole numbers/);
  }
});

test("shapes that are malformed, or do not fit their bytes, are refused", () => {
  for (const shape of [[-2], [0.5], [2 ** 53], ["2"], 2, null, [1, 1, 1, 1, 1, 1, 1, 1, 2]]) {
    refuses(() => readSafetensors(one({ shape })), /shape that is not a list/);
  }
  refuses(() => readSafetensors(one({ shape: [3] })), /has 8 bytes, need 12 for F32 \[3\]/);
  refuses(() => readSafetensors(one({ shape: [2 ** 52, 2 ** 52, 0.5 * 2 ** 52] })), /has 8 bytes, need/);
  refuses(() => readSafetensors(one({ shape: [2, 2 ** 53 - 1, 0] })), /has 8 bytes, need 0/);
});

test("dtypes it does not read are refused by name", () => {
  refuses(
    () => readSafetensors(one({ dtype: "F8_E4M3" })),
    /"a" has dtype "F8_E4M3", need F32, I32, F16, BF16, F64, I64/,
  );
  refuses(() => readSafetensors(one({ dtype: 5 })), /has dtype 5/);
  refuses(() => readSafetensors(one({ layout: "nchw" })), /unknown field "layout"/);
});

test("F16 and BF16 widen exactly", () => {
  const halves = Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x7bff, 0x7c00, 0xfc00, 0x8000, 0x3555);
  const half = readSafetensors(one({ dtype: "F16", shape: [8], data_offsets: [0, 16] }, bytesOf(halves))).get("a")!;
  equal([...half.data], [1, -2, 2 ** -24, 65504, Infinity, -Infinity, -0, 1365 * 2 ** -12]);
  const brains = Uint16Array.of(0x3f80, 0xc000, 0x0001, 0x7f80, 0x4049, 0x8000);
  const brain = readSafetensors(one({ dtype: "BF16", shape: [2, 3], data_offsets: [0, 12] }, bytesOf(brains))).get(
    "a",
  )!;
  equal([...brain.data], [1, -2, 2 ** -133, Infinity, 3.140625, -0]);
});

test("F64 and I64 narrow, and are refused beyond the range", () => {
  const wide = (dtype: string, array: ArrayBufferView) =>
    readSafetensors(one({ dtype, shape: [2], data_offsets: [0, 16] }, bytesOf(array)));
  equal([...wide("F64", Float64Array.of(0.1, -Infinity)).get("a")!.data], [Math.fround(0.1), -Infinity]);
  refuses(() => wide("F64", Float64Array.of(0, 1e39)), /"a" holds 1e\+39, beyond what float32 can/);
  equal([...wide("I64", BigInt64Array.of(-(2n ** 31n), 5n)).get("a")!.data], [-(2 ** 31), 5]);
  refuses(() => wide("I64", BigInt64Array.of(2n ** 31n, 0n)), /"a" holds 2147483648, beyond what int32 can/);
});

test("a tensor that is missing or of another shape is asked for by name", () => {
  const tensors = new Map<string, HostTensor>([
    ["wte.weight", { dtype: "f32", shape: [3, 2], data: new Float32Array(6) }],
  ]);
  const want = (name: string, shape: number[]) => () =>
    requireTensor(tensors, { name, dtype: "f32", shape, file: "w.safetensors" });
  is(want("wte.weight", [3, 2])().data.length, 6);
  refuses(
    want("wte.wight", [3, 2]),
    /^w\.safetensors: got no tensor "wte\.wight", need f32 \[3, 2\]; the nearest name there is "wte\.weight"/,
  );
  refuses(want("wte.weight", [2, 3]), /got "wte\.weight" as f32 \[3, 2\], need f32 \[2, 3\]/);
});

test.run();
