// One number of a hardware profile, and where it is from.

import { Fields } from "../nn/fields.ts";

export const origins = ["datasheet", "measured", "estimate"] as const;
export type Origin = (typeof origins)[number];

export interface Quantity {
  readonly value: number;
  readonly origin: Origin;
  readonly note?: string;
}

/** Bounds beyond which a number is a slip: a device of 2050 will have to move them. */
export const bounds = {
  memoryBytes: [2 ** 20, 2 ** 50],
  flopsPerSecond: [1e6, 1e18],
  bytesPerSecond: [1e3, 1e15],
  uplinkBytesPerSecond: [1e3, 1e15],
  downlinkBytesPerSecond: [1e3, 1e15],
  mediumBytesPerSecond: [1e3, 1e15],
  launchSeconds: [0, 1],
  localMessageSeconds: [0, 1],
  hostKernelSeconds: [0, 1],
  hostMessageSeconds: [0, 1],
  latencySeconds: [0, 60],
  efficiency: [1e-4, 1],
  halfM: [0, 1e5],
  halfN: [0, 1e5],
  halfK: [0, 1e5],
} as const;

type Bound = keyof typeof bounds;

/** Whether a field is there, be it null: a number that is left away is left out. */
export const has = (json: unknown, name: string): boolean =>
  typeof json === "object" && json !== null && Object.hasOwn(json, name);

/** @param bound whose bounds hold for it
 *  @throws UserError naming the field, what was got and what is needed */
export function quantity(
  fields: Fields,
  { name, what, bound }: { name: string; what: string; bound: Bound },
): Quantity {
  const [least, most] = bounds[bound];
  const json = fields.get(name);
  if (typeof json !== "object" || Array.isArray(json))
    throw fields.refuse(
      name,
      `{ "value": a number from ${least} to ${most}, "origin": ${origins.map((origin) => `"${origin}"`).join(" or ")} }`,
    );
  const inside = new Fields(json, `${what} ${name}`);
  inside.only(["value", "origin", "note"]);
  const ok = (value: number) => value >= least && value <= most;
  const value = inside.number("value", { needed: `a number from ${least} to ${most}`, ok });
  const origin = inside.choice("origin", { choices: origins });
  if (!has(json, "note")) return { value, origin };
  const note = inside.get("note");
  if (typeof note !== "string") throw inside.refuse("note", "a text, or no such field");
  return { value, origin, note };
}

/** Those of one object that must be there. */
export const quantities = <Name extends Bound>(
  fields: Fields,
  { names, what }: { names: readonly Name[]; what: string },
): Record<Name, Quantity> =>
  Object.fromEntries(names.map((name) => [name, quantity(fields, { name, what, bound: name })])) as Record<
    Name,
    Quantity
  >;

/** Calls `each` with the path and the quantity of every number in a profile, or in a part of one. */
export function visitQuantities(profile: unknown, each: (path: string, quantity: Quantity) => void): void {
  const visit = (value: unknown, path: string): void => {
    if (typeof value !== "object" || value === null) return;
    if (has(value, "origin")) each(path, value as Quantity);
    else for (const [name, inside] of Object.entries(value)) visit(inside, path === "" ? name : `${path}.${name}`);
  };
  visit(profile, "");
}

/** Puts numbers that are out of bounds at the bound, with a note of what they were. */
export function clampQuantities(profile: unknown): void {
  visitQuantities(profile, (path, quantity) => {
    const name = path.slice(path.lastIndexOf(".") + 1);
    // Kernels' own rates have the kernels' names.
    const [least, most] = bounds[name in bounds ? (name as Bound) : "flopsPerSecond"];
    const value = Math.min(most, Math.max(least, quantity.value));
    if (value !== quantity.value && !Number.isNaN(value))
      Object.assign(quantity, { value, note: `${quantity.value} came out, which is out of bounds` });
  });
}

/** Of a profile's numbers how many are from where. */
export function countOrigins(profile: unknown): Record<Origin, number> {
  const count = { datasheet: 0, measured: 0, estimate: 0 };
  visitQuantities(profile, (_, { origin }) => count[origin]++);
  return count;
}
