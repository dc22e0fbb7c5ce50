// The catalogue of kernels: what each computes, on what, and how long its buffers must be. Every backend
// implements all of it; nothing here computes. Matrices are row-major and contiguous.
//
// Legend: a buffer's comment gives its shape. `accumulate`: y += instead of y =. Offsets and global extents
// exist so that a shard computes exactly what it would inside the whole (dropout masks, vocabulary blocks).

import type { DeviceBuffer } from "./buffer.ts";

/** Counter-based dropout (Philox 4x32-10, Salmon et al. 2011): element (row, col) of the whole is dropped when
 *  word[col & 3] of philox(counter = [col >> 2, row, step, stream], key = [seed, 0]) < floor(probability * 2^32); the kept
 *  ones are scaled by 1 / (1 - probability). */
export interface DropoutArgs {
  /** in [0, 1) */
  probability: number;
  /** u32 each */
  seed: number;
  stream: number;
  step: number;
}

/** Fused rows hold whole head groups: [q x (heads/kvHeads), k, v] x kvHeads, each of headWidth columns.
 *  C = (heads + 2 kvHeads) headWidth. */
export interface HeadShape {
  heads: number;
  kvHeads: number;
  headWidth: number;
}

/** Attention dropout's (row, col) of the whole: row = ((b + batchOffset) * globalHeads + h + headOffset) * tokens + i, col = j. */
export type AttentionDropout = DropoutArgs & { batchOffset: number; headOffset: number; globalHeads: number };

export interface KernelArgs {
  // ---- products -----------------------------------------------------------------------------------------------
  /** y[z, m, n] (+)= op(a)[z, m, k] op(b)[z, k, n] + bias[n]. a is [z, k, m] when transposeA, b is [z, n, k] when transposeB;
   *  not both. */
  matmul: {
    a: DeviceBuffer;
    b: DeviceBuffer;
    y: DeviceBuffer;
    bias?: DeviceBuffer;
    batch: number;
    m: number;
    n: number;
    k: number;
    transposeA: boolean;
    transposeB: boolean;
    accumulate: boolean;
  };

  // ---- attention (FlashAttention-2, arXiv 2307.08691): scores are never stored ------------------------------------
  /** Causal attention. q rows: fused [batch, queries, C]; keys and values: fused rows [batch, capacity, C] of which the
   *  first `keys` of each sample count (capacity > keys: a key-value cache). Query i sees key j when j <= i + keys - queries.
   *  y [batch, queries, heads * headWidth]; lse [batch, heads, queries] = log of the sum of exp(scale * q.k). */
  attention: HeadShape & {
    q: DeviceBuffer;
    kv: DeviceBuffer;
    y: DeviceBuffer;
    lse: DeviceBuffer;
    batch: number;
    queries: number;
    keys: number;
    capacity: number;
    scale: number;
    dropout?: AttentionDropout;
  };
  /** dqkv [batch, tokens, C] of attention with queries = keys = capacity = tokens. delta [batch, heads, tokens] is scratch
   *  (row sums of dy * y). Recomputes the scores from lse. */
  attentionGrad: HeadShape & {
    qkv: DeviceBuffer;
    y: DeviceBuffer;
    dy: DeviceBuffer;
    lse: DeviceBuffer;
    delta: DeviceBuffer;
    dqkv: DeviceBuffer;
    batch: number;
    tokens: number;
    scale: number;
    dropout?: AttentionDropout;
  };
  /** Rotates q and k columns of fused rows x[rows, C] (v is copied): with c < headWidth/2 of a head, (x[c], x[c + headWidth/2])
   *  turns by the angle of position p = offset + row % tokens. table [>= offset + tokens, headWidth/2, 2] holds cos, sin.
   *  `inverse` turns back: the vjp. RoFormer, arXiv 2104.09864, in Hugging Face's half-split pairing. */
  rotary: HeadShape & {
    x: DeviceBuffer;
    table: DeviceBuffer;
    y: DeviceBuffer;
    rows: number;
    tokens: number;
    offset: number;
    inverse: boolean;
  };

  // ---- norms, in pieces that ranks can sum between -----------------------------------------------------------------
  /** stats[rows, 2] of x[rows, cols]: "layer" (mean, sum of (x - mean)^2), "rms" (0, sum of x^2). */
  normStats: { x: DeviceBuffer; stats: DeviceBuffer; rows: number; cols: number; kind: "layer" | "rms" };
  /** y[rows, 2] = normStats of rows of which a[rows, 2] is the stats of countA columns, b of countB others. Merged by deltas of means:
   *  sums of squares would cancel (Chan, Golub & LeVeque 1979). */
  normMerge: { a: DeviceBuffer; b: DeviceBuffer; y: DeviceBuffer; rows: number; countA: number; countB: number };
  /** y = (x - mean) rstd gain + bias with rstd = 1/sqrt(stats[1]/width + eps). width: the whole row's, >= cols. */
  normApply: {
    x: DeviceBuffer;
    stats: DeviceBuffer;
    gain: DeviceBuffer;
    bias?: DeviceBuffer;
    y: DeviceBuffer;
    rows: number;
    cols: number;
    width: number;
    eps: number;
  };
  /** sums[rows, 2] = (sum of g, or 0 for "rms"; sum of g xhat) with g = dy gain, xhat = (x - mean) rstd. */
  normGradSums: {
    x: DeviceBuffer;
    stats: DeviceBuffer;
    gain: DeviceBuffer;
    dy: DeviceBuffer;
    sums: DeviceBuffer;
    rows: number;
    cols: number;
    width: number;
    eps: number;
    kind: "layer" | "rms";
  };
  /** dx (+)= rstd (g - sums[0]/width - xhat sums[1]/width). */
  normGradInput: {
    x: DeviceBuffer;
    stats: DeviceBuffer;
    gain: DeviceBuffer;
    dy: DeviceBuffer;
    sums: DeviceBuffer;
    dx: DeviceBuffer;
    rows: number;
    cols: number;
    width: number;
    eps: number;
    accumulate: boolean;
  };
  /** dgain[cols] (+)= column sums of dy xhat. (dbias is columnSum of dy.) */
  normGradGain: {
    x: DeviceBuffer;
    stats: DeviceBuffer;
    dy: DeviceBuffer;
    dgain: DeviceBuffer;
    rows: number;
    cols: number;
    width: number;
    eps: number;
    accumulate: boolean;
  };

  // ---- activations -------------------------------------------------------------------------------------------------
  /** "tanh": 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), Hugging Face's gelu_new; "exact": x Phi(x). arXiv 1606.08415. */
  gelu: { x: DeviceBuffer; y: DeviceBuffer; n: number; form: "tanh" | "exact" };
  geluGrad: { x: DeviceBuffer; dy: DeviceBuffer; dx: DeviceBuffer; n: number; form: "tanh" | "exact" };
  /** y[i] = silu(x[2i]) x[2i + 1], i < n: gate and up columns alternate, so that a column slice holds whole pairs. arXiv 2002.05202. */
  siluGate: { x: DeviceBuffer; y: DeviceBuffer; n: number };
  siluGateGrad: { x: DeviceBuffer; dy: DeviceBuffer; dx: DeviceBuffer; n: number };
  /** y[rows, cols] = dropped x; (row, col) of the whole = (row + rowOffset, col + colOffset). Its own vjp. */
  dropout: DropoutArgs & {
    x: DeviceBuffer;
    y: DeviceBuffer;
    rows: number;
    cols: number;
    rowOffset: number;
    colOffset: number;
  };

  // ---- embedding ---------------------------------------------------------------------------------------------------
  /** y[count, cols] (+)= table[ids[t] - rowOffset], zero where that is outside [0, rows). */
  embedding: {
    ids: DeviceBuffer;
    table: DeviceBuffer;
    y: DeviceBuffer;
    count: number;
    cols: number;
    rows: number;
    rowOffset: number;
    accumulate: boolean;
  };
  /** dtable[unique[s] - rowOffset] += sum over p in [starts[s], starts[s+1]) of dy[order[p]], in that order; ids outside the
   *  block are skipped. unique [segments], starts [segments + 1], order [count] come from the host, which knows the ids: so the
   *  sum needs no atomics and is the same in every run. */
  embeddingGrad: {
    unique: DeviceBuffer;
    starts: DeviceBuffer;
    order: DeviceBuffer;
    dy: DeviceBuffer;
    dtable: DeviceBuffer;
    segments: number;
    count: number;
    cols: number;
    rows: number;
    rowOffset: number;
  };

  // ---- softmax cross-entropy, in pieces that ranks can combine between ----------------------------------------------
  /** max[rows] over the first validCols columns of x[rows, cols]; validCols = 0 (all padding) gives -3.4e38. */
  rowMax: { x: DeviceBuffer; max: DeviceBuffer; rows: number; cols: number; validCols: number };
  /** sums[rows, 2] = (sum of exp(x - max) over the valid columns; x at the target, or 0 when targets[r] - colOffset is outside
   *  [0, validCols)). */
  sumExp: {
    x: DeviceBuffer;
    max: DeviceBuffer;
    targets: DeviceBuffer;
    sums: DeviceBuffer;
    rows: number;
    cols: number;
    validCols: number;
    colOffset: number;
  };
  /** losses[rows] = max + log(sums[0]) - sums[1]. */
  crossEntropy: { max: DeviceBuffer; sums: DeviceBuffer; losses: DeviceBuffer; rows: number };
  /** dx = (exp(x - max)/sums[0] - (col + colOffset == target)) scale dy[0]; padded columns get 0. dx may be x's own buffer. */
  crossEntropyGrad: {
    x: DeviceBuffer;
    max: DeviceBuffer;
    sums: DeviceBuffer;
    targets: DeviceBuffer;
    dy: DeviceBuffer;
    dx: DeviceBuffer;
    rows: number;
    cols: number;
    validCols: number;
    colOffset: number;
    scale: number;
  };

  // ---- reductions --------------------------------------------------------------------------------------------------
  /** y[0] (+)= scale * sum of x, or of x^2 when `square`; partials [reducePartials] is scratch. */
  sum: {
    x: DeviceBuffer;
    partials: DeviceBuffer;
    y: DeviceBuffer;
    n: number;
    scale: number;
    square: boolean;
    accumulate: boolean;
  };
  /** y[cols] (+)= column sums of x[rows, cols]. */
  columnSum: { x: DeviceBuffer; y: DeviceBuffer; rows: number; cols: number; accumulate: boolean };

  // ---- optimizer ---------------------------------------------------------------------------------------------------
  /** One AdamW step (arXiv 1711.05101) as torch.optim.AdamW does it, g and normSquared being of a gradient times lossScale:
   *    c = clip > 0 ? min(1, lossScale clip / (sqrt(normSquared[0]) + 1e-6)) : 1;  g' = c g / lossScale
   *    w -= learningRate weightDecay w;  m = beta1 m + (1 - beta1) g';  v = beta2 v + (1 - beta2) g'^2
   *    w -= learningRate (m / correction1) / (sqrt(v / correction2) + eps),  correction = 1 - beta^step
   *  Nothing changes when normSquared[0] is not finite: weights that were good stay good.
   *  half [n]: becomes w in f16. */
  adamw: {
    w: DeviceBuffer;
    half?: DeviceBuffer;
    g: DeviceBuffer;
    m: DeviceBuffer;
    v: DeviceBuffer;
    normSquared: DeviceBuffer;
    n: number;
    learningRate: number;
    beta1: number;
    beta2: number;
    eps: number;
    weightDecay: number;
    correction1: number;
    correction2: number;
    clip: number;
    lossScale: number;
  };

  // ---- elementwise and copies --------------------------------------------------------------------------------------
  /** y = a + b. */
  add: { a: DeviceBuffer; b: DeviceBuffer; y: DeviceBuffer; n: number };
  /** y += alpha x. */
  axpy: { x: DeviceBuffer; y: DeviceBuffer; n: number; alpha: number };
  /** y = max(x, y); NaN where either is. */
  maximum: { x: DeviceBuffer; y: DeviceBuffer; n: number };
  /** y = alpha x. */
  scale: { x: DeviceBuffer; y: DeviceBuffer; n: number; alpha: number };
  fill: { y: DeviceBuffer; n: number; value: number };
  /** y[ceil(n / 2)] of i32 holds x as f16, two in a word, the first in the lower half: nearest, ties to even, infinity from 65520 on, subnormals
   *  kept, NaN 0x7e00. The same bits on every device, none of which needs f16 for it. Its shader has to be brought: webgpu/wire-shaders.ts. */
  packHalf: { x: DeviceBuffer; y: DeviceBuffer; n: number };
  /** y = what packHalf made x of. */
  unpackHalf: { x: DeviceBuffer; y: DeviceBuffer; n: number };
  /** y[yOffset + i.yStrides] = x[xOffset + i.xStrides] for every index i of the 4-dim shape: slices, permutes, concatenations. Strides and offsets in elements, >= 0. */
  copy: {
    x: DeviceBuffer;
    y: DeviceBuffer;
    shape: readonly [number, number, number, number];
    xStrides: readonly [number, number, number, number];
    yStrides: readonly [number, number, number, number];
    xOffset: number;
    yOffset: number;
  };
}

export type KernelName = keyof KernelArgs;

/** Elements of `sum`'s scratch: the partial sums of its first pass on WebGPU. The cpu backend adds in f64 and leaves it alone. */
export const reducePartials = 256;
