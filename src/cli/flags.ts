// The numbers a training run can be given on the command line: names, limits, defaults. One table, so that help, checks and
// defaults cannot disagree.

import { UserError } from "../backend/errors.ts";

interface Kind {
  needed: string;
  ok(value: number): boolean;
}

const size: Kind = { needed: "a whole number from 1", ok: (x) => Number.isSafeInteger(x) && x >= 1 && x < 2 ** 31 };
const count: Kind = { needed: "a whole number from 0", ok: (x) => Number.isSafeInteger(x) && x >= 0 && x < 2 ** 31 };
const positive: Kind = { needed: "a number above 0", ok: (x) => x > 0 };
const notNegative: Kind = { needed: "0 or a number above it", ok: (x) => x >= 0 };
const fraction: Kind = { needed: "a number from 0 to below 1", ok: (x) => x >= 0 && x < 1 };
const seed: Kind = {
  needed: "a whole number from 0 to 4294967295",
  ok: (x) => Number.isInteger(x) && x >= 0 && x < 2 ** 32,
};

interface NumberFlag {
  kind: Kind;
  help: string;
  /** absent where it follows from other flags, as `help` then says */
  fallback?: number;
}

/** Flags in the order of --help. The defaults make a run of 80 s on the
 *  cpu backend (one core, no adapter at all) and 35 s on lavapipe; of the sizes tried there, this one learned most in that time. */
export const numberFlags = {
  layers: { kind: size, help: "transformer blocks", fallback: 2 },
  heads: { kind: size, help: "attention heads", fallback: 4 },
  "kv-heads": { kind: size, help: "key/value heads, llama only (default: as many as heads)" },
  width: { kind: size, help: "width of the residual stream", fallback: 64 },
  ffn: {
    kind: size,
    help: "hidden width of the feed-forward part (default: 4 widths; llama 8/3, rounded up to a multiple of 8)",
  },
  context: { kind: size, help: "tokens in a sequence", fallback: 64 },
  batch: { kind: size, help: "sequences in a micro-batch", fallback: 4 },
  steps: { kind: size, help: "optimizer steps", fallback: 800 },
  lr: { kind: positive, help: "peak learning rate", fallback: 5e-3 },
  "min-lr": { kind: notNegative, help: "where the cosine decay ends (default: a tenth of --lr)" },
  warmup: { kind: count, help: "steps of linear warm-up (default: a tenth of --steps, at most 100)" },
  beta1: { kind: fraction, help: "AdamW's first decay", fallback: 0.9 },
  beta2: { kind: fraction, help: "AdamW's second decay", fallback: 0.99 },
  "weight-decay": { kind: notNegative, help: "AdamW's decay of matrices", fallback: 0.1 },
  clip: { kind: notNegative, help: "largest gradient norm; 0: no clipping", fallback: 1 },
  dropout: { kind: fraction, help: "probability of dropping", fallback: 0 },
  accumulate: { kind: size, help: "micro-batches a step", fallback: 1 },
  "loss-blocks": {
    kind: size,
    help: "blocks of rows in which the output head and the loss are computed: less memory with a large vocabulary, more time",
    fallback: 1,
  },
  seed: { kind: seed, help: "the same seed gives the same run", fallback: 1 },
  "eval-every": { kind: count, help: "steps between evaluations; 0: only at the end", fallback: 200 },
  "eval-batches": { kind: count, help: "batches of an evaluation; 0: the whole validation split", fallback: 16 },
  sample: { kind: count, help: "tokens to generate at the end", fallback: 200 },
} as const satisfies Record<string, NumberFlag>;

export type NumberFlagName = keyof typeof numberFlags;

type Defaulted = {
  [N in NumberFlagName]: (typeof numberFlags)[N] extends { fallback: number } ? N : never;
}[NumberFlagName];

/** A flag's own default. */
export const fallbackOf = (name: Defaulted): number => numberFlags[name].fallback;

/** A plain decimal: Number() alone would take "", "0x10" and "Infinity". */
const decimal = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** The value of a flag as typed.
 *  @throws UserError for what is no number, or out of the flag's range */
export function parseNumberFlag(name: NumberFlagName, text: string): number {
  const { kind } = numberFlags[name];
  const value = decimal.test(text.trim()) ? Number(text) : Number.NaN;
  if (!Number.isFinite(value) || !kind.ok(value)) {
    const example = "fallback" in numberFlags[name] ? `; the default is ${fallbackOf(name as Defaulted)}` : "";
    throw new UserError(`got --${name} ${text === "" ? '""' : text}, need ${kind.needed}${example}`);
  }
  return value;
}
