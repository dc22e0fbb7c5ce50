// A short training run and all that a user can see of it, on one rank or many; and what is wrong with the ranks' when the serial
// layout's is right. Knows no layout's insides but which blocks are copies of each other.

import type { Backend } from "../../src/backend/backend.ts";
import type { FloatType } from "../../src/backend/buffer.ts";
import { Ledger, totals } from "../../src/comm/ledger.ts";
import { type Rank, runRanks } from "../../src/comm/loopback.ts";
import type { ModelConfig } from "../../src/nn/config.ts";
import { type CheckpointTensors, Model } from "../../src/nn/model.ts";
import type { Layout } from "../../src/parallel/layout.ts";
import { placeOf } from "../../src/parallel/place.ts";
import { Serial } from "../../src/parallel/serial.ts";
import { Tape } from "../../src/tensor/tape.ts";
import { verifyTolerances } from "../../src/train/events.ts";
import { AdamW } from "../../src/train/optimizer.ts";
import { layoutOn, type NamedMesh } from "./meshes.ts";
import { receivedByPurpose } from "./ranks.ts";

/** What to run. */
export interface Program {
  config: ModelConfig;
  /** samples of a micro-batch, tokens of a sample */
  batch: number;
  context: number;
  accumulate: number;
  steps: number;
  dropout: number;
  clip: number;
  recompute: boolean;
  /** samples of the logits: any number */
  samples: number;
}

/** What one rank saw. */
export interface Seen {
  losses: number[];
  norms: number[];
  /** of the first step's gradients, whole */
  gradients: CheckpointTensors;
  /** of the first weights: all rows, and each sample's last */
  logits: Float32Array;
  lastLogits: Float32Array;
  /** this rank's blocks after the last step */
  blocks: Map<string, { copies: string; data: Float32Array; gradient: Float32Array }>;
  /** messages and words by operation, purpose and sender */
  received: string;
  /** words and messages by purpose in each optimizer step */
  stepReceived: ReturnType<typeof receivedByPurpose>[];
}

/** Pseudo-random ids: neighbouring samples share nothing. */
export const ids = (length: number, { vocab, from }: { vocab: number; from: number }): Int32Array =>
  Int32Array.from({ length }, (_, i) => ((i + 1) * 7919 + from * 104729 + ((i * i) % 31)) % vocab);

const learningRate = 1e-2;

async function watch(rank: { backend: Backend; layout: Layout; ledger?: Ledger }, program: Program) {
  const { backend, layout, ledger } = rank;
  const { batch, context, accumulate, samples, recompute } = program;
  using model = new Model(backend, { config: program.config, layout, seed: 4 });
  const { parameters, vocabSize: vocab, architecture } = model;
  const hyper = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: program.clip };
  using optimizer = new AdamW(backend, { ...hyper, layout, parameters });
  const sequence = { batch: samples, tokens: context, offset: 0 };
  const logits: Float32Array[] = [];
  {
    using tape = new Tape(backend, { recording: false });
    const own = await model.logits(tape, { tokens: ids(samples * context, { vocab, from: 99 }), sequence });
    for (const last of [false, true]) logits.push(await layout.gatherLogits(own, { sequence, vocabSize: vocab, last }));
  }
  const losses: number[] = [];
  const norms: number[] = [];
  let gradients: CheckpointTensors = new Map();
  const rates = { embedding: program.dropout, residual: program.dropout, attention: program.dropout };
  for (let step = 0; step < program.steps; step++) {
    let loss = 0;
    if (ledger) ledger.step = step + 1;
    for (let micro = 0; micro < accumulate; micro++) {
      using tape = new Tape(backend, { recording: true });
      const at = step * accumulate + micro;
      const part = await model.loss(tape, {
        tokens: ids(batch * context, { vocab, from: at }),
        targets: ids(batch * context, { vocab, from: at + 50 }),
        sequence: { batch, tokens: context, offset: 0 },
        scale: 1 / (accumulate * batch * context),
        dropout: program.dropout > 0 ? { seed: 5, step: at, rates } : undefined,
        recompute,
      });
      loss += (await part.read())[0];
      await tape.backward(part);
    }
    const reduced = await layout.reduceGradients(parameters);
    await optimizer.step({ gradients: reduced, learningRate });
    if (ledger) ledger.step = 0;
    if (step === 0) gradients = await model.checkpoint((parameter) => parameter.gradient);
    losses.push(loss);
    norms.push(Math.sqrt((await optimizer.normSquared.read())[0]));
  }
  const blocks: Seen["blocks"] = new Map();
  for (const [index, { name, kind }] of architecture.weights.entries()) {
    const parameter = parameters[index];
    const data = (await parameter.read()) as Float32Array;
    const gradient = (await parameter.gradient.read()) as Float32Array;
    blocks.set(name, { copies: kind, data, gradient });
  }
  const entries = ledger?.entries ?? [];
  const stepReceived = losses.map((_, step) => receivedByPurpose(entries.filter((entry) => entry.step === step + 1)));
  const sums = totals(entries, ({ op, purpose, from }) => `${purpose} ${op} from ${from}`);
  const received = [...sums].map(([name, { messages, words }]) => `${name}: ${messages}, ${words}`).sort();
  const [all, lastLogits] = logits;
  return { losses, norms, gradients, logits: all, lastLogits, blocks, received: received.join("\n"), stepReceived };
}

export const watchSerial = (backend: Backend, program: Program): Promise<Seen> =>
  watch({ backend, layout: new Serial(backend) }, program);

/** @param options.prepare is told each rank's layout before it is used
 *  @throws what a rank threw */
export function watchRanks(
  shape: NamedMesh,
  options: {
    device: Backend;
    program: Program;
    timeoutMs?: number;
    wire?: FloatType;
    prepare?: (layout: Layout, rank: Rank & { ledger: Ledger }) => void;
  },
): Promise<Seen[]> {
  const { device, timeoutMs, ...rest } = options;
  return runRanks({ size: shape.size, backend: device, timeoutMs }, (rank) => watchRank(shape, { rank, ...rest }));
}

/** One of the ranks, on any link. */
export async function watchRank(
  shape: NamedMesh,
  options: {
    rank: Rank;
    program: Program;
    wire?: FloatType;
    prepare?: (layout: Layout, rank: Rank & { ledger: Ledger }) => void;
  },
): Promise<Seen> {
  const { rank, program, wire, prepare } = options;
  const ledger = new Ledger();
  const layout = layoutOn(shape, { ...rank, ledger, wire });
  prepare?.(layout, { ...rank, ledger });
  const seen = await watch({ backend: rank.backend, layout, ledger }, program);
  for (const block of seen.blocks.values()) block.copies = copiesOf(shape, { kind: block.copies, rank: layout.rank });
  return seen;
}

/** The same on two ranks exactly when they hold the same block of a parameter of that kind. */
function copiesOf({ layout, q }: NamedMesh, { kind, rank }: { kind: string; rank: number }): string {
  const whole = ["vector", "rowBias", "positions"].includes(kind);
  if (layout === "1d" || layout === "1d-sp") return whole ? "all" : `rank ${rank}`;
  const { i, j } = placeOf(rank, q);
  return whole || kind === "columnBias" ? `column ${j}` : `row ${i}, column ${j}`;
}

/** |ours - theirs| / |theirs| in L2; NaN when something is none. */
export function relativeError(ours: ArrayLike<number>, theirs: ArrayLike<number>): number {
  if (ours.length !== theirs.length) return Number.NaN;
  let difference = 0;
  let size = 0;
  for (let i = 0; i < theirs.length; i++) {
    difference += (ours[i] - theirs[i]) ** 2;
    size += theirs[i] ** 2;
  }
  return Math.sqrt(difference / size);
}

/** What is wrong with numbers of ranks, given the serial layout's: nothing when they are as they should be. Each of the two is held to a
 *  tolerance of the exact result (test/training/verify.test.ts, and this folder's), so the two are no further apart than twice that. */
export function faults(ranks: readonly Seen[], serial: Seen): string[] {
  const found: string[] = [];
  const near = (
    what: string,
    { ours, theirs, limit }: { ours: ArrayLike<number>; theirs: ArrayLike<number>; limit: number },
  ) => {
    const error = relativeError(ours, theirs);
    // Says what must hold, so that a NaN is a fault.
    if (!(error <= 2 * limit)) found.push(`${what} off by ${error.toExponential(1)}`);
  };
  const { loss, grad, logits } = verifyTolerances;
  for (const [rank, ours] of ranks.entries()) {
    near(`rank ${rank}: logits`, { ours: ours.logits, theirs: serial.logits, limit: logits });
    near(`rank ${rank}: last logits`, { ours: ours.lastLogits, theirs: serial.lastLogits, limit: logits });
    for (const [step, theirs] of serial.losses.entries())
      near(`rank ${rank}: loss ${step + 1}`, { ours: [ours.losses[step]], theirs: [theirs], limit: loss });
    for (const [step, theirs] of serial.norms.entries())
      near(`rank ${rank}: gradient norm ${step + 1}`, { ours: [ours.norms[step]], theirs: [theirs], limit: grad });
    const gradients = wholeFactors(ours.gradients);
    for (const [name, theirs] of wholeFactors(serial.gradients))
      near(`rank ${rank}: gradient of ${name}`, { ours: gradients.get(name) ?? [], theirs, limit: grad });
  }
  return [...found, ...unequalCopies(ranks)];
}

/** Gradients by name, Llama's q, k and v of a layer as the one factor that they are: those of q and k are differences of what v's is a
 *  sum of, so their rounding is in proportion to v's, and GPT-2's are one tensor anyway. */
function wholeFactors(gradients: CheckpointTensors): Map<string, number[]> {
  const whole = new Map<string, number[]>();
  for (const [name, { data }] of gradients) {
    const factor = name.replace(/[qkv]_proj/, "qkv_proj");
    whole.set(factor, [...(whole.get(factor) ?? []), ...data]);
  }
  return whole;
}

/** Where ranks that must agree to the bit do not. */
export function unequalCopies(ranks: readonly Seen[]): string[] {
  const found: string[] = [];
  const first = new Map<string, { rank: number; data: ArrayLike<number> }>();
  const same = (what: string, { rank, data }: { rank: number; data: ArrayLike<number> }) => {
    const other = first.get(what);
    if (!other) first.set(what, { rank, data });
    else if (
      other.data.length !== data.length ||
      !Array.prototype.every.call(data, (x, i) => Object.is(x, other.data[i]))
    )
      found.push(`${what} differs between ranks ${other.rank} and ${rank}`);
  };
  for (const [rank, { losses, norms, logits, gradients, blocks }] of ranks.entries()) {
    same("losses", { rank, data: losses });
    same("gradient norms", { rank, data: norms });
    same("logits", { rank, data: logits });
    for (const [name, { data }] of gradients) same(`the whole gradient of ${name}`, { rank, data });
    for (const [name, { copies, data, gradient }] of blocks) {
      same(`${name} (${copies})`, { rank, data });
      same(`the gradient of ${name} (${copies})`, { rank, data: gradient });
    }
  }
  return found;
}
