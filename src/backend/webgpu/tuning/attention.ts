// The ways to compute attention and its gradient, and how to try them: by tiles in workgroup memory, or by rows in a subgroup's
// registers.

import type { KernelArgs } from "../../kernels.ts";
import type { DeviceFacts } from "../plan.ts";
import { attentionPlans } from "../plans/attention.ts";
import { forwardTrial, fusedWidth, gradientTrial } from "./attention-check.ts";
import { blank, exponent, type Family, noise, type Trace, type TrialLimits, type Variant } from "./family.ts";

type Forward = KernelArgs["attention"];
type Kernel = "attention" | "attentionGrad";
type Shape = Pick<Forward, "batch" | "heads" | "kvHeads" | "headWidth" | "dropout">;

const classNumber = (
  { batch, heads, headWidth, dropout }: Shape,
  { queries, keys, half }: { queries: number; keys: number; half: boolean },
) => {
  const extents =
    ((exponent(batch * heads) * 32 + exponent(queries)) * 32 + exponent(keys)) * 1024 + Math.min(headWidth, 1023);
  return extents * 4 + Number(half) + 2 * Number(dropout !== undefined);
};

const className = (
  kernel: Kernel,
  { batch, heads, headWidth, dropout }: Shape,
  { queries, keys, dtype }: { queries: number; keys: number; dtype: string },
) =>
  `${kernel} ${dtype}, ${2 ** exponent(batch * heads)} heads ${headWidth} wide, ${2 ** exponent(queries)} queries of ${2 ** exponent(keys)} keys${dropout ? ", dropout" : ""}`;

/** The table's plan, and what it takes on the other kind of device where this one can run it. On a software adapter the tiles take ten
 *  seconds to compile and ten times the rows' time: they are not tried. */
function variantsOf<K extends Kernel>(
  kernel: K,
  args: KernelArgs[K],
  device: DeviceFacts,
): readonly [Variant<K>, ...Variant<K>[]] {
  const plan = attentionPlans[kernel] as Variant<K>["plan"];
  const as = (software: boolean): Variant<K> => {
    const facts = { ...device, software, scratch: () => unreachable() };
    const byRows = plan(args, facts).some(({ shader }) => shader.startsWith("attentionRows"));
    return { name: byRows ? "rows" : "tiles", plan: (call) => plan(call, facts) };
  };
  const table = as(device.software);
  const other = device.software ? table : as(true);
  return other.name === table.name ? [table] : [table, other];
}

function unreachable(): never {
  throw new Error("attention takes no scratch");
}

export const attention: Family<"attention"> = {
  classOf: (args) => classNumber(args, { queries: args.queries, keys: args.keys, half: args.q.dtype === "f16" }),
  nameOf: (args) => className("attention", args, { queries: args.queries, keys: args.keys, dtype: args.q.dtype }),
  variants: (args, device) => variantsOf("attention", args, device),
  trials(args, limits) {
    const { heads, headWidth, queries, keys, capacity, q, kv, dropout } = args;
    const batch = fewerSamples(args, { limits, rows: queries + capacity, pairs: queries * keys });
    const fused = fusedWidth(args);
    const { dtype } = q;
    const x = noise(batch * queries * fused, { seed: 5, dtype });
    return [
      forwardTrial({
        ...{ ...shapeOf(args), batch, queries, keys, capacity, dropout, scale: 1 / Math.sqrt(headWidth) },
        q: x,
        // In training it is one buffer.
        kv: kv === q ? x : noise(batch * capacity * fused, { seed: 6, dtype }),
        y: blank(batch * queries * heads * headWidth, dtype),
        lse: blank(batch * heads * queries, "f32"),
      }),
    ];
  },
};

export const attentionGrad: Family<"attentionGrad"> = {
  classOf: (args) => classNumber(args, { queries: args.tokens, keys: args.tokens, half: args.qkv.dtype === "f16" }),
  nameOf: (args) =>
    className("attentionGrad", args, { queries: args.tokens, keys: args.tokens, dtype: args.qkv.dtype }),
  variants: (args, device) => variantsOf("attentionGrad", args, device),
  trials(args, limits) {
    const { heads, headWidth, tokens, qkv, dropout } = args;
    const batch = fewerSamples(args, { limits, rows: 4 * tokens, pairs: 3 * tokens * tokens });
    const fused = fusedWidth(args);
    const { dtype } = qkv;
    // About what lse is where scores are small: exp(s - lse) are weights that add up to about 1.
    const lse: Trace = { dtype: "f32", data: new Float32Array(batch * heads * tokens) };
    for (let i = 0; i < lse.data.length; i++) lse.data[i] = Math.log((i % tokens) + 1);
    return [
      gradientTrial({
        ...{ ...shapeOf(args), batch, tokens, dropout, lse, scale: 1 / Math.sqrt(headWidth) },
        qkv: noise(batch * tokens * fused, { seed: 7, dtype }),
        y: noise(batch * tokens * heads * headWidth, { seed: 8, dtype }),
        dy: noise(batch * tokens * heads * headWidth, { seed: 9, dtype }),
        delta: blank(batch * heads * tokens, "f32"),
        dqkv: blank(batch * tokens * fused, dtype),
      }),
    ];
  },
};

const shapeOf = ({ heads, kvHeads, headWidth }: Shape) => ({ heads, kvHeads, headWidth });

/** As many samples as the limits allow, at least one. rows: fused, of a sample; pairs: of queries and keys. */
function fewerSamples(
  shape: Shape,
  { limits, rows, pairs }: { limits: TrialLimits; rows: number; pairs: number },
): number {
  const { batch, heads, headWidth } = shape;
  const most = Math.min(limits.bytes / (4 * rows * fusedWidth(shape)), limits.flop / (4 * heads * headWidth * pairs));
  return Math.max(1, Math.min(batch, Math.floor(most)));
}
