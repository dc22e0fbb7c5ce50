import fc from "fast-check";
import { test } from "uvu";
import { equal, is, not, ok } from "uvu/assert";
import { makeCorpus, requireVariety, textFromBytes } from "../../src/train/corpus.ts";
import { refuses, unlessRefused } from "./refusal.ts";

const count = (length: number) => Int32Array.from({ length }, (_, i) => i);
const corpus = makeCorpus({ tokens: count(1003), context: 7 });
const spec = { seed: 5, step: 3, batch: 6, context: 7, split: "train" as const };

test("the first nine tenths train, the rest validates", () => {
  is(corpus.tokens.train.length, 902);
  is(corpus.tokens.validation[0], 902);
  is(corpus.tokens.validation.length, 101);
});

test("every row of a batch is a window of its split with targets one token on", () => {
  for (const split of ["train", "validation"] as const) {
    const { inputs, targets } = corpus.batch({ ...spec, split, batch: 500 });
    const first = corpus.tokens[split][0];
    const last = corpus.tokens[split].at(-1) as number;
    const starts = new Set<number>();
    for (let row = 0; row < 500; row++) {
      const start = inputs[row * 7];
      starts.add(start);
      for (let t = 0; t < 7; t++) {
        is(inputs[row * 7 + t], start + t);
        is(targets[row * 7 + t], start + t + 1);
      }
      ok(start >= first && start + 7 <= last);
    }
    // 500 draws from 94 starts miss a given one with probability 0.005; both ends of the validation part among them are seen.
    if (split === "validation") ok(starts.has(first) && starts.has(last - 7) && starts.size > 80);
  }
});

test("a batch is a function of (seed, step) and of nothing else", () => {
  equal(corpus.batch(spec), corpus.batch(spec));
  equal(corpus.batch({ ...spec, batch: 2 }).inputs, corpus.batch(spec).inputs.slice(0, 14));
  for (const change of [{ seed: 6 }, { step: 4 }, { micro: 1 }]) {
    not.equal(corpus.batch({ ...spec, ...change }).inputs, corpus.batch(spec).inputs);
  }
});

test("two micro-batches of 4 are one batch of 8", () => {
  const whole = corpus.batch({ ...spec, batch: 8 });
  const parts = [0, 1].map((micro) => corpus.batch({ ...spec, batch: 4, micro }));
  equal([...parts[0].inputs, ...parts[1].inputs], [...whole.inputs]);
  equal([...parts[0].targets, ...parts[1].targets], [...whole.targets]);
});

test("windows: all of the split's whole windows, once, without overlap", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 300, max: 400 }), (context, length) => {
      const { tokens, windows } = makeCorpus({ tokens: count(length), context });
      for (const split of ["train", "validation"] as const) {
        const part = tokens[split];
        const { count, inputs, targets } = windows(split);
        equal(inputs, part.slice(0, count * context));
        equal(targets, part.slice(1, count * context + 1));
        ok((count + 1) * context + 1 > part.length, "no further window fits");
      }
    }),
  );
});

test("a text shorter than context + 1 in either part is refused, with what would do", () => {
  refuses(
    () => makeCorpus({ tokens: count(100), context: 16 }),
    /100 tokens: got 10 in its validation part, need 17 .*a context of at most 9$/,
  );
  refuses(
    () => makeCorpus({ tokens: count(100), context: 16, trainFraction: 0.1 }),
    /got 10 in its train part, need 17/,
  );
  refuses(() => makeCorpus({ tokens: count(3), context: 1 }), /use a longer text$/);
  is(makeCorpus({ tokens: count(100), context: 9 }).windows("validation").count, 1);
});

test("empty, binary and one-character files are refused", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  refuses(() => textFromBytes(new Uint8Array(), "a.txt"), /^a\.txt: got an empty file, need text/);
  refuses(() => textFromBytes(bytes("ab\0c"), "a.txt"), /got a zero byte at 2, need UTF-8 text/);
  refuses(() => textFromBytes(Uint8Array.of(0x61, 0xff, 0xfe), "a.txt"), /not UTF-8/);
  refuses(() => requireVariety("zzzz", "a.txt"), /only the character "z", need at least two/);
  refuses(() => requireVariety("", "a.txt"), /empty text/);
  is(textFromBytes(bytes("\uFEFFnaïve")), "naïve");
});

test("arbitrary bytes are text or a UserError", () => {
  fc.assert(fc.property(fc.uint8Array(), (bytes) => void unlessRefused(() => textFromBytes(bytes))));
});

test.run();
