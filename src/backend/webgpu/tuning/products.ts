// The ways to compute a product, and how to try them. A further kernel is an entry of `kernels`.

import type { DeviceBuffer } from "../../buffer.ts";
import type { KernelArgs } from "../../kernels.ts";
import { type DeviceFacts, type Dispatch, grid, type Workshop } from "../plan.ts";
import {
  lanesVariant,
  matmulVariant,
  type ProductVariant,
  packedProduct,
  packs,
  productDispatch,
} from "../plans/matmul.ts";
import {
  blank,
  exponent,
  type Family,
  gamma,
  guard,
  noise,
  storedBound,
  type Trial,
  unit,
  type Variant,
} from "./family.ts";
import { inSquares, matrixVariants, squareSide } from "./matrices.ts";

type Args = KernelArgs["matmul"];
type Form = Pick<Args, "batch" | "m" | "n" | "k" | "transposeA" | "transposeB">;

const formName = ({ transposeA, transposeB }: Form): string => (transposeA ? "TN" : transposeB ? "NT" : "NN");

/** A kernel of one dispatch, and the calls it can run and might be the fastest for. */
interface ProductKernel extends ProductVariant {
  readonly fits: (form: Form, device: DeviceFacts) => boolean;
}

/** Whether a kernel may read b, and write y, four columns at a time. */
const wide = ({ n, k, transposeB }: Form): boolean => n % 4 === 0 && (!transposeB || k % 4 === 0);

/** Whether it may read a four at a time too. */
const wideA = ({ m, k, transposeA }: Form): boolean => (transposeA ? m : k) % 4 === 0;

/** Rows of a workgroup beside the table's on a software adapter: for few rows alone. Every alternative has to be compiled, and that takes
 *  lavapipe seconds where no disk cache has it (28 s and more for 8 and 16 rows of one class, with and without accumulation, on a busy
 *  machine), SwiftShader two; of 8 x 32 on lavapipe, 16 x 32, 16 x 64 and 16 x 80 on SwiftShader none was faster than the table's by more
 *  than two runs of the same differ. */
const otherRows = ({ m }: Form): number[] => (m > 1 && m <= 4 ? [4] : []);

/** Products by subgroups as the table's, with other rows. */
function byLanes(form: Form, { device, table }: { device: DeviceFacts; table: ProductVariant }): ProductVariant[] {
  const { LANES, GROUPS, STEPS } = table.constants;
  if (!device.software || table.shader !== "matmulLanes") return [];
  const [lanes, groups] = [Number(LANES), Number(GROUPS)];
  return otherRows(form).map((rows) => lanesVariant(form, { lanes, rows, groups, steps: STEPS === 2 ? 2 : 4 }));
}

const kernels: readonly ProductKernel[] = [
  {
    shader: "matmul",
    rows: 32,
    columns: 32,
    constants: {},
    fits: (_, { software }) => !software,
  },
  {
    shader: "matmulTile",
    rows: 64,
    columns: 64,
    constants: {},
    // Its barriers cost a software adapter more than its tiles save, on every shape.
    fits: (form, { software, maxInvocations }) => !software && maxInvocations >= 128 && wide(form) && wideA(form),
  },
];

/** Stretches of k that a product may be cut in. */
const splits = [4, 16];
/** Terms of a stretch at least: the sum over stretches reads as much again. */
const leastSpan = 64;
/** Workgroups of the kernel without stretches, above which a GPU has enough to do: two for each processor of a large one. A software
 *  adapter has a few cores, and nothing to gain: at 16 x 16 x 4096 stretches took lavapipe and SwiftShader 1.3 to 8 times as long. */
const fewWorkgroups = 256;
/** Bytes of the stretches' sums at most. */
const maxParts = 64 * 2 ** 20;

function worthSplitting({ batch, m, n, k }: Form, slices: number, { software }: DeviceFacts): boolean {
  const outputs = batch * m * n;
  const workgroups = batch * Math.ceil(m / 32) * Math.ceil(n / 32);
  return !software && k >= slices * leastSpan && workgroups <= fewWorkgroups && 4 * slices * outputs <= maxParts;
}

const split = (slices: number): Variant<"matmul"> => ({
  name: `split ${slices}`,
  plan: (args, device) => splitPlan(args, { slices, device }),
});

/** y = the sum over stretches of k, each a product of its own, in two passes: no atomics, whose order of adding is another in every run. */
function splitPlan(args: Args, { slices, device }: { slices: number; device: Workshop }): Dispatch[] {
  const { batch, m, n } = args;
  const parts = device.scratch(slices * batch * m * n);
  return [stretches(args, { slices, device, parts }), sumOfStretches(args, { slices, parts })];
}

/** parts[batch, slices, m, n]. */
function stretches(
  args: Args,
  { slices, device, parts }: { slices: number; device: DeviceFacts; parts: DeviceBuffer },
): Dispatch {
  const { a, b, batch, m, n, k, transposeA, transposeB } = args;
  if (transposeA && k % slices === 0) {
    // The stretches of both matrices are whole rows, one behind the other: a batch of products for the fastest kernel there is.
    const each = { batch: batch * slices, m, n, k: k / slices, transposeA, transposeB };
    return productDispatch({ a, b, y: parts, accumulate: false, ...each }, matmulVariant(each, device));
  }
  const [THREADS_X, THREADS_Y] = m <= 4 ? [64, 1] : n <= 4 ? [1, 64] : [8, 8];
  const rowTiles = Math.ceil(m / (4 * THREADS_Y));
  const columnTiles = Math.ceil(n / (4 * THREADS_X));
  const tiles = batch * slices * rowTiles * columnTiles;
  return {
    shader: "splitProduct",
    constants: { TRANSPOSE_A: transposeA, TRANSPOSE_B: transposeB, THREADS_X, THREADS_Y },
    buffers: { a, b, parts },
    params: { m, n, k, rowTiles, columnTiles, tiles, slices, span: Math.ceil(k / slices) },
    workgroups: grid(tiles),
  };
}

function sumOfStretches(
  { y, bias, batch, m, n, accumulate }: Args,
  { slices, parts }: { slices: number; parts: DeviceBuffer },
): Dispatch {
  const count = batch * m * n;
  return {
    shader: "splitSum",
    // A binding cannot be left empty: without a bias its place is taken by the parts.
    buffers: { parts, bias: bias ?? parts, y },
    params: { count, size: m * n, n, slices, accumulate: Number(accumulate), hasBias: Number(bias !== undefined) },
    workgroups: grid(Math.ceil(count / 64)),
  };
}

const same = (a: ProductVariant, b: ProductVariant): boolean =>
  a.shader === b.shader && a.rows === b.rows && a.columns === b.columns;

/** e.g. "matmulTile 64x64" */
const nameOf = ({ shader, rows, columns }: ProductVariant): string => `${shader} ${rows}x${columns}`;

export const products: Family<"matmul"> = {
  classOf({ a, y, batch, m, n, k, transposeA, transposeB }) {
    const divisible = Number(m % 4 === 0) | (Number(n % 4 === 0) << 1) | (Number(k % 4 === 0) << 2);
    const types = Number(a.dtype === "f16") | (Number(y.dtype === "f16") << 1);
    const extents = (((exponent(batch) * 32 + exponent(m)) * 32 + exponent(n)) * 32 + exponent(k)) * 256;
    const transposes = Number(transposeA) | (Number(transposeB) << 1) | (Number(inSquares({ m, n, k })) << 2);
    return extents + (divisible | (types << 3) | (transposes << 5));
  },

  nameOf(args) {
    const { a, y, batch, m, n, k } = args;
    const divisible = Object.entries({ m, n, k }).flatMap(([name, extent]) => (extent % 4 === 0 ? [name] : []));
    const extents = [m, n, k].map((extent) => 2 ** exponent(extent)).join("x");
    return `matmul ${formName(args)} ${a.dtype} to ${y.dtype}, ${extents} in batches of ${2 ** exponent(batch)}, multiples of 4: ${divisible.join(" ") || "none"}${inSquares(args) ? ", in squares of 32" : ""}`;
  },

  variants(args, device) {
    if (packs(args, device)) return [{ name: "packed", plan: packedProduct }];
    const table = matmulVariant(args, device);
    const others = kernels.filter((kernel) => !same(kernel, table) && kernel.fits(args, device));
    const whole = [table, ...byLanes(args, { device, table }), ...others].map(
      (kernel): Variant<"matmul"> => ({ name: nameOf(kernel), plan: (call) => [productDispatch(call, kernel)] }),
    );
    const cut = splits.filter((slices) => worthSplitting(args, slices, device)).map(split);
    const [first, ...rest] = [...whole, ...matrixVariants(args, device), ...cut];
    return [first, ...rest];
  },

  trials(args, limits) {
    const { a, y, transposeA, transposeB } = args;
    const form = { ...shrunk(args, limits), transposeA, transposeB };
    const { batch, m, n, k } = form;
    const call = {
      ...form,
      a: noise(batch * m * k, { seed: 1, dtype: a.dtype }),
      b: noise(batch * k * n, { seed: 2, dtype: a.dtype }),
    };
    const before = noise(batch * m * n + guard, { seed: 4, dtype: y.dtype });
    before.data.fill(Number.NaN, batch * m * n);
    return [
      trial({ ...call, bias: noise(n, { seed: 3, dtype: "f32" }), y: before, accumulate: true }),
      trial({ ...call, bias: undefined, y: blank(batch * m * n, y.dtype), accumulate: false }),
    ];
  },
};

/** The same form with fewer samples, rows and columns, as many as the limits allow, and the same divisibility. */
function shrunk(
  { batch, m, n, k }: Form,
  { bytes, flop }: { bytes: number; flop: number },
): Pick<Form, "batch" | "m" | "n" | "k"> {
  const size = { batch, m, n, k };
  const least = inSquares({ m, n, k }) ? squareSide : 4;
  const half = (extent: number) =>
    extent % least === 0 ? Math.max(least, least * Math.ceil(extent / (2 * least))) : (extent >> 1) | 1;
  const tooLarge = () => {
    const { batch, m, n } = size;
    return 4 * batch * (m * k + k * n + m * n) > bytes || 2 * batch * m * n * k > flop;
  };
  while (tooLarge() && size.batch * size.m * size.n > least * least) {
    if (size.batch > 1) size.batch = Math.ceil(size.batch / 2);
    else if (size.m >= size.n) size.m = half(size.m);
    else size.n = half(size.n);
  }
  return size;
}

type Numbers = Form &
  Record<"a" | "b" | "y", ReturnType<typeof noise>> & {
    bias: ReturnType<typeof noise> | undefined;
    accumulate: boolean;
  };

/** Products that the check of a trial computes in f64: some ten milliseconds. */
const checkedTerms = 2_000_000;

function trial(call: Numbers): Trial<"matmul"> {
  const { batch, m, n, k, bias, ...rest } = call;
  const count = batch * m * n;
  const samples = Math.max(16, Math.min(count, 4096, Math.floor(checkedTerms / k)));
  let wanted: { at: number; value: number; bound: number }[] | undefined;
  return {
    args: { ...rest, batch, m, n, k, ...(bias && { bias }) } as Trial<"matmul">["args"],
    results: ["y"],
    wrongIn({ y }) {
      // The first, the last, and others at a stride that shares no factor with what tiles and rows are multiples of.
      const nth = (i: number) => (samples === count ? i : i === 0 ? count - 1 : (i * 40503) % count);
      wanted ??= Array.from({ length: samples }, (_, i) => elementOf(call, nth(i)));
      for (const { at, value, bound } of wanted)
        if (!(Math.abs(y[at] - value) <= bound))
          return `y[${at}] of ${m} x ${n} x ${k} is ${y[at]}, not ${value} within ${bound.toExponential(1)}`;
    },
  };
}

/** One element in f64 with the bound that any order of adding keeps: gamma(k) |a||b|, and what adding bias and y rounds. */
function elementOf(call: Numbers, at: number): { at: number; value: number; bound: number } {
  const { m, n, k, transposeA, transposeB, a, b, y, bias, accumulate } = call;
  const z = Math.floor(at / (m * n));
  const row = Math.floor(at / n) % m;
  const column = at % n;
  let value = 0;
  let magnitude = 0;
  for (let q = 0; q < k; q++) {
    const left = a.data[z * m * k + (transposeA ? q * m + row : row * k + q)];
    const term = left * b.data[z * k * n + (transposeB ? column * k + q : q * n + column)];
    value += term;
    magnitude += Math.abs(term);
  }
  for (const added of [bias?.data[column] ?? 0, accumulate ? y.data[at] : 0]) {
    value += added;
    magnitude += Math.abs(added);
  }
  const bound = gamma(k + 2) * magnitude + unit * Math.abs(value) + k * 2 ** -126;
  return { at, value, bound: storedBound(bound, { value, dtype: y.dtype }) };
}
