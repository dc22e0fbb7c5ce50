// A text as tokens: its split into training and validation, the random batches of the one and the whole windows of
// both. Reads no files.

import { UserError } from "../backend/errors.ts";
import { philox, streams } from "../tensor/random.ts";

export type Split = "train" | "validation";

/** Token ids, targets one token after inputs. */
export interface Windows {
  /** sequences */
  count: number;
  /** [count * context] */
  inputs: Int32Array;
  /** [count * context] */
  targets: Int32Array;
}

export interface Corpus {
  /** tokens in a sequence */
  readonly context: number;
  readonly tokens: Readonly<Record<Split, Int32Array>>;
  /** Sequences drawn uniformly, with replacement: row r of micro-batch m is the step's row m * batch + r whatever the batch,
   *  so that accumulating two batches of 4 sees what one batch of 8 sees. */
  batch(spec: { seed: number; step: number; batch: number; context: number; split: Split; micro?: number }): Windows;
  /** All consecutive windows that do not overlap, from the split's start; a view, not a copy. */
  windows(split: Split): Windows;
}

/** The first `trainFraction` of `tokens` trains, the rest validates.
 *  @throws UserError when either part is shorter than context + 1 tokens */
export function makeCorpus(spec: { tokens: Int32Array; context: number; trainFraction?: number }): Corpus {
  const { tokens, context, trainFraction = 0.9 } = spec;
  const cut = Math.floor(tokens.length * trainFraction);
  const splits = { train: tokens.subarray(0, cut), validation: tokens.subarray(cut) };
  for (const [name, part] of Object.entries(splits)) {
    if (part.length > context) continue;
    const longest = Math.min(splits.train.length, splits.validation.length) - 1;
    const advice = longest >= 1 ? `a longer text, or a context of at most ${longest}` : "a longer text";
    throw new UserError(
      `the text has ${tokens.length} tokens: got ${part.length} in its ${name} part, need ${context + 1} (the context and one more); use ${advice}`,
    );
  }
  return corpusOf(splits, context);
}

/** Of tokens that are split already. */
export function corpusOf(splits: Readonly<Record<Split, Int32Array>>, context: number): Corpus {
  return {
    context,
    tokens: splits,
    batch({ seed, step, batch, context, split, micro = 0 }) {
      const part = splits[split];
      const starts = part.length - context;
      if (starts < 1)
        throw new RangeError(`context ${context}: the ${split} part has ${part.length} tokens, need ${context + 1}`);
      const inputs = new Int32Array(batch * context);
      const targets = new Int32Array(batch * context);
      for (let row = 0; row < batch; row++) {
        const stream = split === "train" ? streams.batches : streams.evaluation;
        const [high, low] = philox([micro * batch + row, 0, step >>> 0, stream], [seed >>> 0, 0]);
        const start = Math.floor(((high * 2 ** 21 + (low >>> 11)) / 2 ** 53) * starts);
        inputs.set(part.subarray(start, start + context), row * context);
        targets.set(part.subarray(start + 1, start + 1 + context), row * context);
      }
      return { count: batch, inputs, targets };
    },
    windows(split) {
      const part = splits[split];
      const count = Math.floor((part.length - 1) / context);
      return { count, inputs: part.subarray(0, count * context), targets: part.subarray(1, count * context + 1) };
    },
  };
}

/** The text of a file's bytes, without a byte order mark.
 *  @throws UserError when `bytes` are empty, or are no UTF-8 text; `name` is what the message calls them */
export function textFromBytes(bytes: Uint8Array, name = "the text"): string {
  if (bytes.length === 0) throw new UserError(`${name}: got an empty file, need text to train on`);
  const zero = bytes.indexOf(0);
  if (zero >= 0)
    throw new UserError(`${name}: got a zero byte at ${zero}, need UTF-8 text; this looks like a binary file`);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new UserError(
      `${name}: got bytes that are not UTF-8, need UTF-8 text; convert the file (iconv -t UTF-8) or use another`,
    );
  }
}

/** @throws UserError for a text of fewer than two different characters, from which there is nothing to learn */
export function requireVariety(text: string, name = "the text"): void {
  const [first] = text;
  if (first === undefined) throw new UserError(`${name}: got an empty text, need text to train on`);
  for (const character of text) if (character !== first) return;
  throw new UserError(
    `${name}: got only the character ${JSON.stringify(first)}, need at least two different ones; use a real text`,
  );
}
