// Placement as part of a tensor's type: how the blocks of a mesh axis' ranks make up the whole, so that a forgotten sum does not
// compile. Not a layout and no communication (redistribute.ts has that); checks at run time only when asked for.
// After spmd_types (meta-pytorch), whose R, I, V, P are replicate, invariant, shard and partial here.

import { followOps } from "../tensor/tape.ts";
import { Parameter, type Tensor } from "../tensor/tensor.ts";

/** What one axis of the mesh does to a tensor, and to its gradient:
 *  - "replicate": every rank has the whole and uses it in its own way; the gradient is "partial".
 *  - "invariant": every rank has the whole and uses it alike (residual stream, weights at rest); so does the gradient.
 *  - "shard d": split along dim d (0 rows, 1 columns); so is the gradient.
 *  - "partial": the whole is the sum over ranks; the gradient is "replicate". */
export type Placement = "replicate" | "invariant" | "partial" | "shard 0" | "shard 1";

/** A placement for each axis of the mesh, by name: `{ i: "shard 0"; j: "shard 1"; k: "invariant" }`. */
export type Placements = { readonly [axis: string]: Placement };

export type Axis<P extends Placements> = keyof P & string;

declare const placements: unique symbol;

/** A tensor that is one rank's block of a whole. Only for the compiler: `place` makes one of any tensor, at no cost.
 *  Tensors placed differently are not assignable to each other, in either direction. */
export interface Placed<in out P extends Placements> extends Tensor {
  readonly [placements]: P;
}

// ---- the rules, as tables that the compiler and the run-time checks both read -----------------------------------

/** The gradient's placement. Its own inverse. */
export const duals = {
  replicate: "partial",
  invariant: "invariant",
  partial: "replicate",
  "shard 0": "shard 0",
  "shard 1": "shard 1",
} as const satisfies Record<Placement, Placement>;

/** What y = x w is on an axis, given x and w: exactly the pairs for which both y and, through the same table, dx = dy wT and
 *  dw = xT dy come out right without communication. So "invariant * shard 1" is missing: its dx would be a partial sum. */
export const products = {
  "invariant * invariant": "invariant",
  "replicate * replicate": "replicate",
  "replicate * shard 1": "shard 1",
  "shard 0 * replicate": "shard 0",
  "shard 1 * shard 0": "partial",
  "partial * replicate": "partial",
  "replicate * partial": "partial",
} as const satisfies Record<string, Placement>;

/** What y = x + b is on an axis for a matrix x and a vector b added to each of its rows. A whole b added to partial sums would count
 *  once per rank. */
export const biases = {
  "invariant + invariant": "invariant",
  "replicate + replicate": "replicate",
  "partial + partial": "partial",
  "shard 0 + replicate": "shard 0",
  "shard 1 + shard 0": "shard 1",
} as const satisfies Record<string, Placement>;

/** The function of redistribute.ts that gets from one placement of an axis to another. */
export const conversions = {
  "invariant > replicate": "replicate",
  "partial > invariant": "allReduce",
  "partial > replicate": "allReduce",
  "partial > shard 0": "reduceScatter",
  "partial > shard 1": "reduceScatter",
  "shard 0 > replicate": "allGather",
  "shard 1 > replicate": "allGather",
  "shard 0 > invariant": "allGather",
  "shard 1 > invariant": "allGather",
  "shard 0 > shard 1": "allToAll",
  "shard 1 > shard 0": "allToAll",
  "invariant > shard 0": "split",
  "invariant > shard 1": "split",
} as const satisfies Record<string, string>;

// ---- for the compiler -------------------------------------------------------------------------------------------

/** Makes editors and errors show the fields instead of the name of what computed them. */
type Show<T> = { [K in keyof T]: T[K] } & {};
/** A parameter's second half: nothing when there is no complaint, else the complaint, which no tensor is assignable to. */
type Unless<Complaint> = [Complaint] extends [never] ? unknown : Complaint;
type Lookup<Table, Key> = Key extends keyof Table ? Table[Key] : never;

/** Placements of the gradient. */
export type Dual<P extends Placements> = Show<{ [A in keyof P]: (typeof duals)[P[A]] }>;

/** P with one axis changed. */
export type With<P extends Placements, A extends string, Q extends Placement> = Show<{
  [B in keyof P]: B extends A ? Q : P[B];
}>;

/** Placements of x w: a local product, nothing exchanged. `never` on an axis where there is none. */
export type Product<X extends Placements, W extends Placements> = Show<{
  [A in Axis<X>]: Lookup<typeof products, `${X[A]} * ${W[A]}`>;
}>;

/** Placements of x + b, b a vector added to each row. `never` on an axis where there is none. */
export type Biased<X extends Placements, B extends Placements> = Show<{
  [A in Axis<X>]: Lookup<typeof biases, `${X[A]} + ${B[A]}`>;
}>;

type Remedy<Got extends Placement, Needed extends Placement, A extends string> =
  Lookup<typeof conversions, `${Got} > ${Needed}`> extends infer Name extends string
    ? [Name] extends [never]
      ? "no collective gets from one to the other"
      : `${Name} over ${A} gets from one to the other`
    : never;

/** For a parameter `x: Placed<P> & Needs<P, { j: "shard 1" }>`: refuses what is placed otherwise on the named axes, in a sentence. */
export type Needs<P extends Placements, Needed extends Placements> = Unless<
  {
    [A in Axis<Needed>]: A extends keyof P
      ? P[A] extends Needed[A]
        ? never
        : `got ${P[A]} on axis ${A}, needed ${Needed[A]}; ${Remedy<P[A], Needed[A], A>}`
      : `there is no axis ${A}; the mesh has ${Axis<P>}`;
  }[Axis<Needed>]
>;

/** For whatever is not linear, or leaves the mesh: activations, norms, losses, reading. Refuses partial sums. */
export type NoPartial<P extends Placements> = Unless<
  {
    [A in Axis<P>]: P[A] extends "partial"
      ? `got a partial sum on axis ${A}; allReduce or reduceScatter it over ${A} first`
      : never;
  }[Axis<P>]
>;

/** For weights at rest, whose gradient is placed as they are. Refuses partial sums, and copies that each rank uses in its own way. */
export type AtRest<P extends Placements> = Unless<
  {
    [A in Axis<P>]: P[A] extends (typeof duals)[P[A]]
      ? never
      : `got ${P[A]} on axis ${A}, whose gradient is ${(typeof duals)[P[A]]}; weights are invariant or shard`;
  }[Axis<P>]
>;

type OtherAxes<X extends Placements, Y extends Placements> =
  | { [A in Axis<X>]: A extends keyof Y ? never : `axis ${A} is missing` }[Axis<X>]
  | { [A in Axis<Y>]: A extends keyof X ? never : `there is no axis ${A}` }[Axis<Y>];

/** The complaint about the axes, or else those about their placements. */
type Pairs<X extends Placements, Y extends Placements, Complaints extends string> = [OtherAxes<X, Y>] extends [never]
  ? Unless<Complaints>
  : OtherAxes<X, Y>;

/** For the second factor of a local product. */
export type Multiplies<X extends Placements, W extends Placements> = Pairs<
  X,
  W,
  {
    [A in Axis<X>]: `${X[A]} * ${W[A]}` extends keyof typeof products
      ? never
      : `no local product on axis ${A}: ${X[A]} * ${W[A]}`;
  }[Axis<X>]
>;

/** For a vector added to each row. */
export type AddsToRows<X extends Placements, B extends Placements> = Pairs<
  X,
  B,
  {
    [A in Axis<X>]: `${X[A]} + ${B[A]}` extends keyof typeof biases
      ? never
      : `no local sum on axis ${A}: rows ${X[A]} + vector ${B[A]}`;
  }[Axis<X>]
>;

/** For the second term of a sum: placed as the first. */
export type AddsTo<X extends Placements, Y extends Placements> = Pairs<
  X,
  Y,
  {
    [A in Axis<X>]: [X[A], Y[A]] extends [Y[A], X[A]] ? never : `no local sum on axis ${A}: ${X[A]} + ${Y[A]}`;
  }[Axis<X>]
>;

// ---- at run time ------------------------------------------------------------------------------------------------

let checking = false;
let records = new WeakMap<Tensor, Placements>();

/** Whether placements are also recorded and checked while running: for JavaScript, and for what casts hide. Off by default.
 *  Turning it on forgets what was placed before. */
export function setPlacementChecks(on: boolean): void {
  if (on && !checking) records = new WeakMap();
  checking = on;
  followOps(on ? inherit : undefined);
}

/** What an op makes of tensors that are all placed alike is placed so too: true of ops that work row by row, or element by element, which
 *  is what models do between a layout's calls. A layout places what its own ops make; the rest stays unknown.
 *  @throws TypeError for a sum of terms that are placed differently */
function inherit(op: string, { output, inputs }: { output: Tensor; inputs: readonly (Tensor | undefined)[] }): void {
  const given = inputs.filter((x) => x !== undefined);
  const known = given.map((x) => (x instanceof Parameter ? undefined : records.get(x)));
  const [first] = known;
  if (!first || known.includes(undefined)) return;
  const other = given.find((_, index) => !alike(known[index] as Placements, first));
  if (!other) records.set(output, first);
  else if (op === "add") requirePlacements(other, { needs: first, what: "a term of a sum" });
}

const alike = (a: Placements, b: Placements): boolean =>
  Object.keys(a).length === Object.keys(b).length && Object.entries(a).every(([axis, p]) => b[axis] === p);

/** The same tensor, said to be the block of a whole with these placements. */
export function place<P extends Placements>(tensor: Parameter, placements: P): Parameter & Placed<P>;
export function place<P extends Placements>(tensor: Tensor, placements: P): Placed<P>;
export function place<P extends Placements>(tensor: Tensor, placements: P): Placed<P> {
  if (checking) {
    for (const [axis, placement] of Object.entries(placements))
      if (!(placement in duals))
        throw new TypeError(
          `axis ${axis}: got placement "${placement}", needed one of ${Object.keys(duals).join(", ")}`,
        );
    records.set(tensor, { ...placements });
  }
  return tensor as Placed<P>;
}

/** The tensor, placed as x is. */
export function placedAs<P extends Placements>(tensor: Tensor, x: Placed<P>): Placed<P> {
  const of = placementsOf(x);
  return of ? place(tensor, of as P) : (tensor as Placed<P>);
}

/** The tensor, placed as x's gradient is. */
export function placeDual<P extends Placements>(tensor: Tensor, x: Placed<P>): Placed<Dual<P>> {
  const of = placementsOf(x);
  if (!of) return tensor as Placed<Dual<P>>;
  return place(tensor, Object.fromEntries(Object.entries(of).map(([axis, p]) => [axis, duals[p]])) as Dual<P>);
}

/** A tensor from where placements are no part of types, taken for the block that it has to be. With checks on, refuses one known to be
 *  placed otherwise; one of unknown origin is taken at its word.
 *  @param what who asks, and which operand: "linear's x" */
export function asPlaced<P extends Placements>(
  tensor: Parameter,
  as: { placements: P; what: string },
): Parameter & Placed<P>;
export function asPlaced<P extends Placements>(tensor: Tensor, as: { placements: P; what: string }): Placed<P>;
export function asPlaced<P extends Placements>(
  tensor: Tensor,
  { placements, what }: { placements: P; what: string },
): Placed<P> {
  if (checking && records.has(tensor)) requirePlacements(tensor, { needs: placements, what });
  return place(tensor, placements);
}

/** What `place` said of it; undefined while checks are off. */
export function placementsOf(tensor: Tensor): Placements | undefined {
  return checking ? records.get(tensor) : undefined;
}

/** With checks on, refuses a tensor placed otherwise than `needs` on any axis it names.
 *  @param needs one placement for each axis, or several of which any will do
 *  @param what who asks, and which operand: "linear's x"
 *  @throws TypeError that says what was got and needed on which axis, and which collective gets from one to the other */
export function requirePlacements(
  tensor: Tensor,
  { needs, what }: { needs: { readonly [axis: string]: Placement | readonly Placement[] }; what: string },
): void {
  if (!checking) return;
  const got = recorded(tensor, what);
  for (const [axis, needed] of Object.entries(needs)) {
    const accepted: readonly Placement[] = typeof needed === "string" ? [needed] : needed;
    if (!(axis in got)) throw new TypeError(`${what} has no axis ${axis}; its mesh has ${Object.keys(got).join(", ")}`);
    if (!accepted.includes(got[axis])) throw new TypeError(`${what} is ${remedy(axis, { got: got[axis], accepted })}`);
  }
}

/** With checks on, `requirePlacements` on every axis. */
export function requireNoPartial(tensor: Tensor, what: string): void {
  if (!checking) return;
  const accepted: readonly Placement[] = ["replicate", "invariant", "shard 0", "shard 1"];
  const axes = Object.keys(recorded(tensor, what));
  requirePlacements(tensor, { needs: Object.fromEntries(axes.map((axis) => [axis, accepted])), what });
}

function recorded(tensor: Tensor, what: string): Placements {
  const got = records.get(tensor);
  if (!got)
    throw new TypeError(
      `${what} ${tensor.name || `[${tensor.shape}]`} has no placements; place(tensor, placements) says which, after setPlacementChecks(true)`,
    );
  return got;
}

function remedy(axis: string, { got, accepted }: { got: Placement; accepted: readonly Placement[] }): string {
  const table: Readonly<Record<string, string>> = conversions;
  const ways = accepted
    .map((needed) => ({ needed, name: table[`${got} > ${needed}`] }))
    .filter(({ name }) => name)
    .map(({ needed, name }) => `${name} it over ${axis} (to ${needed})`);
  const described = got === "partial" ? "a partial sum" : got;
  return `${described} on axis ${axis}, needed ${accepted.join(" or ")}; ${ways.join(" or ") || "no collective gets from one to the other"}`;
}
