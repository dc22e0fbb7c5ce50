// Frames and what they say: what is sent comes out as it went in, and whatever else comes is refused with a FrameError, and nothing else, and
// leaves nothing behind that grows without bound.

import fc from "fast-check";
import { test } from "uvu";
import { equal, instance, is, match, ok } from "uvu/assert";
import type { DType } from "../../src/backend/buffer.ts";
import {
  decode,
  encodeText,
  FrameError,
  finishMessage,
  headBytes,
  messageBytes,
  numberFrame,
} from "../../src/comm/frame.ts";
import { Inbox, type Said } from "../../src/comm/inbox.ts";
import type { Call } from "../../src/comm/link.ts";
import { failureText, Heard, newsText, Told } from "../../src/comm/words.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const numbered = (frame: Bytes, sequence = 0): Bytes => {
  numberFrame(frame, sequence);
  return frame;
};
const bytesOf = (values: ArrayLike<number>): Bytes => Uint8Array.from(values);

/** The message of a FrameError. @throws Error when the work succeeds, or fails otherwise */
function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    instance(error, FrameError, String(error));
    return (error as FrameError).message;
  }
  throw new Error("it was taken");
}

/** Whatever `work` does, it does not fail but with a FrameError. */
function onlyFrameErrors<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    instance(error, FrameError, String(error));
    return undefined;
  }
}

const dtypes: DType[] = ["f32", "f16", "i32"];
const anyWhich = fc.oneof(fc.nat({ max: 2 ** 32 - 1 }), fc.string({ unit: "grapheme", maxLength: 40 }));
const anyHead = fc.record({ words: fc.nat({ max: 65_535 }), which: anyWhich, part: fc.nat({ max: 65_535 }) });

test("messages come out as they went in, elements aligned, whatever their type, tag and number", () => {
  fc.assert(
    fc.property(
      anyHead,
      fc.option(fc.constantFrom(...dtypes), { nil: undefined }),
      fc.uint8Array({ maxLength: 100 }),
      fc.nat({ max: 200_000 }),
      (head, dtype, content, sequence) => {
        const length = dtype ? content.length - (content.length % 4) : 0;
        const bytes = messageBytes(length);
        bytes.set(content.subarray(0, length), headBytes);
        const frame = decode(numbered(finishMessage(bytes, { ...head, dtype }), sequence), sequence);
        is(frame.kind, "message");
        if (frame.kind !== "message") return;
        const { words, which, part, elements } = frame;
        equal({ words, which, part, dtype: elements?.dtype }, { ...head, dtype });
        if (!elements) return;
        equal([...elements.bytes], [...content.subarray(0, length)]);
        is(elements.bytes.byteOffset % 4, 0);
      },
    ),
  );
});

test("texts come out as they went in; one that is too long is refused before it is sent", () => {
  fc.assert(
    fc.property(
      fc.constantFrom("words", "failed", "news" as const),
      fc.string({ unit: "grapheme", maxLength: 300 }),
      fc.nat({ max: 65_535 }),
      (kind, text, number) => {
        const own = kind === "words" ? { number } : {};
        equal(decode(numbered(encodeText(kind, { ...own, text })), 0), { kind, ...own, text });
      },
    ),
  );
  equal(decode(numbered(encodeText("ended")), 0), { kind: "ended" });
  let message = "";
  try {
    encodeText("words", { text: "x".repeat(65_537) });
  } catch (error) {
    message = (error as Error).message;
  }
  match(message, /a text of 65537 bytes, at most 65536/);
});

/** Frames as ranks send them. */
const anyFrame: fc.Arbitrary<Bytes> = fc.oneof(
  fc
    .tuple(anyHead, fc.constantFrom(...dtypes), fc.nat({ max: 20 }))
    .map(([head, dtype, n]) => finishMessage(messageBytes(4 * n), { ...head, dtype })),
  fc
    .tuple(fc.constantFrom("words", "failed", "news" as const), fc.json())
    .map(([kind, text]) => encodeText(kind, { text })),
  fc.constant(0).map(() => encodeText("ended")),
);

test("random bytes, and frames with some changed, cut off or added, are frames or FrameErrors", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => void onlyFrameErrors(() => decode(bytesOf(bytes), 0))),
    { numRuns: 1000 },
  );
  fc.assert(
    fc.property(anyFrame, fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 4 }), (frame, changes) => {
      for (const [at, byte] of changes) frame[at % Math.min(frame.length, headBytes + 8)] = byte;
      onlyFrameErrors(() => decode(frame, 0));
    }),
    { numRuns: 1000 },
  );
  fc.assert(
    fc.property(anyFrame, fc.nat(), (frame, cut) => {
      refusal(() => decode(frame.slice(0, cut % frame.length), 0));
      refusal(() => decode(bytesOf([...frame, 0]), 0));
    }),
  );
});

test("a frame that is lost, doubled or swapped with its neighbour is refused by its number, past 65,536 too", () => {
  for (const expected of [0, 1, 65_535, 65_536, 200_000]) {
    const other = (by: number) => numbered(encodeText("ended"), expected + by);
    equal(decode(other(0), expected), { kind: "ended" });
    for (const by of [-1, 1, 2, 300])
      if (expected + by >= 0)
        match(
          refusal(() => decode(other(by), expected)),
          /lost, doubled or swapped/,
        );
  }
});

test("heads that say what no rank says are refused: kinds, types, lengths, texts that are not UTF-8", () => {
  const text = () => encodeText("news", { text: "{}" });
  const changed = (frame: Bytes, change: (view: DataView<ArrayBuffer>) => void) => {
    change(new DataView(frame.buffer));
    return refusal(() => decode(frame, 0));
  };
  match(
    changed(text(), (view) => view.setUint8(0, 6)),
    /no frame begins/,
  );
  match(
    changed(text(), (view) => view.setUint8(1, 4)),
    /no frame begins/,
  );
  match(
    changed(text(), (view) => view.setUint32(12, 2 ** 32 - 1, true)),
    /says that it has 4294967311/,
  );
  match(
    changed(text(), (view) => view.setUint16(8, 1, true)),
    /something of a message's/,
  );
  match(
    changed(text(), (view) => view.setUint8(headBytes, 0xff)),
    /not UTF-8/,
  );
  const message = () => finishMessage(messageBytes(6), { words: 0, which: 0, part: 0, dtype: "f16" });
  match(
    changed(message(), (view) => view.setUint8(1, 1)),
    /6 bytes of f32/,
  );
  match(
    changed(message(), (view) => view.setUint8(1, 0)),
    /6 bytes of no type/,
  );
  const long = new Uint8Array(headBytes + 65_537);
  new DataView(long.buffer).setUint8(0, 5);
  new DataView(long.buffer).setUint32(12, 65_537, true);
  match(
    refusal(() => decode(long, 0)),
    /a text of 65537 bytes/,
  );
});

// ---- what frames say ------------------------------------------------------------------------------------------------------

const call: Call = {
  ...{ group: "row 0", which: 3, members: 2, op: "broadcast", shapes: [[2, 3]], root: 1 },
  ...{ combine: undefined, algorithm: "direct", purpose: "linear forward" },
};
const tensor = (shape: number[], dtype: DType = "f32") => ({ shape, dtype }) as unknown as Tensor;

/** An inbox and its peer's frames, in order. */
function conversation() {
  const inbox = new Inbox({ from: 1, size: 4 });
  let sent = 0;
  return (frame: Bytes): Said | undefined => inbox.take(numbered(frame, sent++));
}

test("a call is put into words once for each tensor it has, and known by a number from then on", () => {
  const [told, take] = [new Told(), conversation()];
  const say = (which: Call, of: Tensor | undefined, elementBytes: number) => {
    const { number, text } = told.number(which, of);
    if (text !== undefined) is(take(encodeText("words", { number, text })), undefined);
    const frame = finishMessage(messageBytes(elementBytes), {
      words: number,
      which: which.which,
      part: 2,
      dtype: of?.dtype,
    });
    return { new: text !== undefined, said: take(frame) };
  };
  const first = say(call, tensor([2, 3]), 24);
  ok(first.new);
  is(first.said?.kind, "message");
  if (first.said?.kind === "message") {
    equal(first.said.call, call);
    is(first.said.part, 2);
    equal(first.said.parcel?.shape, [2, 3]);
    equal(first.said.parcel?.values, new Float32Array(6));
  }
  is(say({ ...call, which: 4 }, tensor([2, 3]), 24).new, false, "another number");
  for (const other of [{ group: "row 1" }, { op: "reduce" }, { root: 0 }, { purpose: undefined }, { shapes: [[3, 2]] }])
    ok(say({ ...call, ...other }, tensor([2, 3]), 24).new, JSON.stringify(other));
  ok(say(call, tensor([2, 3], "f16"), 12).new, "another type");
  ok(say(call, tensor([3, 2]), 24).new, "another shape");
  ok(say(call, undefined, 0).new, "no tensor");
  is(say(call, tensor([2, 3]), 24).new, false);
});

test("words are bounded: who has used up the numbers, or the bytes, begins anew, and is understood", () => {
  for (const name of ["g", "g".repeat(3000)]) {
    const [told, heard] = [new Told(), new Heard()];
    let restarts = 0;
    for (let n = 0; n < 9000; n++) {
      const { number, text } = told.number({ ...call, group: `${name}${n}` }, undefined);
      if (n > 0 && number === 0) restarts++;
      heard.define(number, text as string);
      is(heard.get(number).group, `${name}${n}`);
    }
    ok(restarts >= 2);
  }
  const words = new Told().number(call, undefined).text as string;
  const heard = new Heard();
  match(
    refusal(() => {
      for (let number = 0; number < 65_536; number++) heard.define(number, words);
    }),
    /more than 4096 calls, or 1048576 bytes/,
  );
  match(
    refusal(() => new Heard().define(7, words)),
    /words 7 came in place of 0/,
  );
  match(
    refusal(() => new Heard().get(0)),
    /not put into words/,
  );
  // JSON need not be short to be a call.
  const long = new Heard();
  match(
    refusal(() => {
      for (let number = 0; number < 4096; number++) long.define(number, words + " ".repeat(60_000));
    }),
    /1048576 bytes/,
  );
});

const textual = (kind: "words" | "failed" | "news", value: unknown) => () =>
  conversation()(encodeText(kind, { text: typeof value === "string" ? value : JSON.stringify(value) }));

test("texts of other things than they should be are refused, __proto__ and deep nesting among them", () => {
  const words = { ...call, which: undefined, shape: [2], dtype: "f32" };
  is(textual("words", words)(), undefined);
  for (const wrong of [
    ...["", "{", "null", "[]", "7", '"text"', "[".repeat(60_000), `${"[".repeat(30_000)}${"]".repeat(30_000)}`],
    ...[{}, { ...words, group: 1 }, { ...words, members: -1 }, { ...words, op: null }, { ...words, shapes: 1 }],
    ...[
      { ...words, shapes: [[1.5]] },
      { ...words, shapes: [[-1]] },
      { ...words, shapes: [new Array(9).fill(1)] },
    ],
    ...[
      { ...words, shape: [2 ** 31, 4] },
      { ...words, shape: [1e300] },
      { ...words, dtype: "f64" },
    ],
    ...[
      { ...words, dtype: undefined },
      { ...words, shape: undefined },
      { ...words, root: "0" },
    ],
    `{"__proto__": ${JSON.stringify(words)}}`,
    `${`{"a":`.repeat(5000)}1${"}".repeat(5000)}`,
  ])
    refusal(textual("words", wrong));
  is(textual("words", `{"__proto__": {"polluted": 1}, ${JSON.stringify(words).slice(1)}`)(), undefined);
  is(({} as { polluted?: number }).polluted, undefined);
  for (const wrong of [
    {},
    { message: 1, rank: 0 },
    { message: "m", rank: 4 },
    { message: "m" },
    { message: "m", rank: -1 },
  ])
    refusal(textual("failed", wrong));
  const news = { idleMs: 5, waits: [{ from: 2, part: 0, ...call }], ended: false };
  is(textual("news", news)()?.kind, "news");
  for (const wrong of [
    ...[{}, { ...news, idleMs: -1 }, { ...news, ended: 0 }, { ...news, waits: {} }, { ...news, waits: [null] }],
    ...[
      { ...news, waits: new Array(33).fill(news.waits[0]) },
      { ...news, waits: [{ ...news.waits[0], from: 4 }] },
    ],
    { ...news, waits: [{ ...news.waits[0], which: {} }] },
  ])
    refusal(textual("news", wrong));
});

test("any JSON as any text, in any order, is taken or a FrameError", () => {
  fc.assert(
    fc.property(fc.array(anyFrame, { maxLength: 6 }), (frames) => {
      const take = conversation();
      for (const frame of frames) onlyFrameErrors(() => take(frame));
    }),
    { numRuns: 500 },
  );
});

test("failures and news come out as they went in, cut to what a frame takes", () => {
  equal(conversation()(encodeText("failed", { text: failureText({ message: "why", rank: 3 }) })), {
    ...{ kind: "failed", message: "why", rank: 3 },
  });
  const long = conversation()(encodeText("failed", { text: failureText({ message: "魚".repeat(1e6), rank: 3 }) }));
  is(long?.kind === "failed" && long.message.length, 4000);
  const wait = { from: 2, to: 1, call, part: 5 };
  const said = conversation()(
    encodeText("news", { text: newsText({ idleMs: 4.6, waits: new Array(100).fill(wait), ended: true }) }),
  );
  is(said?.kind, "news");
  if (said?.kind === "news") {
    const { idleMs, waits, ended } = said.news;
    equal({ idleMs, ended, count: waits.length }, { idleMs: 5, ended: true, count: 32 });
    equal(waits[0], wait);
  }
});

test("a tensor of another size or type than its words say, and messages after the end, are refused", () => {
  const { text } = new Told().number(call, tensor([2, 3]));
  const message = (elementBytes: number, dtype: DType | undefined) => () => {
    const take = conversation();
    take(encodeText("words", { text }));
    take(finishMessage(messageBytes(elementBytes), { words: 0, which: 0, part: 0, dtype }));
  };
  match(refusal(message(20, "f32")), /a tensor \[2,3\] of f32 came with 20 bytes/);
  match(refusal(message(24, "i32")), /a message has i32 in place of f32/);
  match(refusal(message(0, undefined)), /a message has no elements in place of f32/);
  const take = conversation();
  take(encodeText("words", { text }));
  equal(take(encodeText("ended")), { kind: "ended" });
  match(
    refusal(() => take(finishMessage(messageBytes(24), { words: 0, which: 0, part: 0, dtype: "f32" }))),
    /after its end/,
  );
  const twice = conversation();
  twice(encodeText("ended"));
  match(
    refusal(() => twice(encodeText("ended"))),
    /ends twice/,
  );
});

test("elements in the middle of a larger buffer are read, aligned or not", () => {
  const { text } = new Told().number(call, tensor([2, 3]));
  for (const offset of [0, 1, 4, 7]) {
    const take = conversation();
    take(encodeText("words", { text }));
    const frame = messageBytes(24);
    new Float32Array(frame.buffer, headBytes).set([1, 2, 3, 4, 5, 6]);
    finishMessage(frame, { words: 0, which: 0, part: 0, dtype: "f32" });
    const larger = new Uint8Array(100);
    larger.set(frame, offset);
    const said = take(larger.subarray(offset, offset + frame.length));
    equal(said?.kind === "message" && said.parcel?.values, Float32Array.of(1, 2, 3, 4, 5, 6));
  }
});

test.run();
