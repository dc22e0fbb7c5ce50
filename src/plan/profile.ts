// Hardware as a simulation knows it: rates of one device, and of the network between many. A small JSON file, in which every number says
// where it is from.

import { UserError } from "../backend/errors.ts";
import type { KernelName } from "../backend/kernels.ts";
import { kernelNames } from "../backend/work.ts";
import { Fields } from "../nn/fields.ts";

export const origins = ["datasheet", "measured", "estimate"] as const;
export type Origin = (typeof origins)[number];

export interface Quantity {
  readonly value: number;
  readonly origin: Origin;
}

/** How fast products are: flopsPerSecond times efficiency times m/(m + halfM) n/(n + halfN) k/(k + halfK), so that half... is the extent that
 *  runs at half the rate of a large one. */
export interface ProductRate {
  readonly flopsPerSecond: Quantity;
  /** of large products, in (0, 1] */
  readonly efficiency: Quantity;
  readonly halfM: Quantity;
  readonly halfN: Quantity;
  readonly halfK: Quantity;
}

export interface DeviceProfile {
  readonly memoryBytes: Quantity;
  readonly products: { readonly f32: ProductRate; readonly f16: ProductRate };
  /** of what is no product */
  readonly flopsPerSecond: Quantity;
  readonly bytesPerSecond: Quantity;
  /** of every kernel, in seconds */
  readonly launchSeconds: Quantity;
  /** flops a second, counted as in work.ts, of kernels that have a rate of their own */
  readonly kernels: Readonly<Partial<Record<KernelName, Quantity>>>;
}

/** What joins devices that have nothing nearer in common. */
export interface NetworkLevel {
  readonly name: string;
  /** how many devices one unit of this level joins, those of lower levels included; undefined for the last: any number */
  readonly devices: number | undefined;
  readonly latencySeconds: Quantity;
  /** of one device's port, each way */
  readonly bytesPerSecond: Quantity;
  /** of a lower unit's link into this level, each way, where its devices share one */
  readonly uplinkBytesPerSecond: Quantity | undefined;
}

export interface Profile {
  readonly name: string;
  readonly description: string;
  readonly sources: readonly string[];
  readonly device: DeviceProfile;
  /** from the nearest to the farthest */
  readonly network: readonly NetworkLevel[];
  /** messages may be under way while their device computes */
  readonly overlap: boolean;
}

/** Bounds beyond which a number is a slip: a device of 2050 will have to move them. */
const bounds = {
  memoryBytes: [2 ** 20, 2 ** 50],
  flopsPerSecond: [1e6, 1e18],
  bytesPerSecond: [1e3, 1e15],
  uplinkBytesPerSecond: [1e3, 1e15],
  launchSeconds: [0, 1],
  latencySeconds: [0, 60],
  efficiency: [1e-4, 1],
  halfM: [0, 1e5],
  halfN: [0, 1e5],
  halfK: [0, 1e5],
} as const;

function quantity(
  fields: Fields,
  { name, what, bound }: { name: string; what: string; bound: keyof typeof bounds },
): Quantity {
  const [least, most] = bounds[bound];
  const inside = new Fields(fields.get(name), `${what} ${name}`);
  inside.only(["value", "origin", "note"]);
  const ok = (value: number) => value >= least && value <= most;
  return {
    value: inside.number("value", { needed: `a number from ${least} to ${most}`, ok }),
    origin: inside.choice("origin", { choices: origins }),
  };
}

const named = (fields: Fields, what: string) => (name: keyof typeof bounds) =>
  quantity(fields, { name, what, bound: name });

function productRate(json: unknown, what: string): ProductRate {
  const fields = new Fields(json, what);
  const names = ["flopsPerSecond", "efficiency", "halfM", "halfN", "halfK"] as const;
  fields.only(names);
  const of = named(fields, what);
  return {
    flopsPerSecond: of("flopsPerSecond"),
    efficiency: of("efficiency"),
    halfM: of("halfM"),
    halfN: of("halfN"),
    halfK: of("halfK"),
  };
}

function deviceProfile(json: unknown, what: string): DeviceProfile {
  const fields = new Fields(json, what);
  fields.only(["memoryBytes", "products", "flopsPerSecond", "bytesPerSecond", "launchSeconds", "kernels"]);
  const of = named(fields, what);
  const products = new Fields(fields.get("products"), `${what} products`);
  products.only(["f32", "f16"]);
  const kernels: Partial<Record<KernelName, Quantity>> = {};
  const given = fields.get("kernels") ?? {};
  const inside = new Fields(given, `${what} kernels`);
  inside.only(kernelNames);
  for (const name of kernelNames)
    if (inside.get(name) !== undefined)
      kernels[name] = quantity(inside, { name, what: `${what} kernels`, bound: "flopsPerSecond" });
  return {
    memoryBytes: of("memoryBytes"),
    products: {
      f32: productRate(products.get("f32"), `${what} products f32`),
      f16: productRate(products.get("f16"), `${what} products f16`),
    },
    flopsPerSecond: of("flopsPerSecond"),
    bytesPerSecond: of("bytesPerSecond"),
    launchSeconds: of("launchSeconds"),
    kernels,
  };
}

function networkLevel(json: unknown, { what, last }: { what: string; last: boolean }): NetworkLevel {
  const fields = new Fields(json, what);
  fields.only(["name", "devices", "latencySeconds", "bytesPerSecond", "uplinkBytesPerSecond"]);
  const of = named(fields, what);
  const name = fields.get("name");
  if (typeof name !== "string" || name === "") throw fields.refuse("name", "what this level is called");
  if (last && fields.get("devices") !== undefined)
    throw fields.refuse("devices", "no such field: the last level joins any number");
  return {
    name,
    devices: last ? undefined : fields.size("devices"),
    latencySeconds: of("latencySeconds"),
    bytesPerSecond: of("bytesPerSecond"),
    uplinkBytesPerSecond: fields.get("uplinkBytesPerSecond") === undefined ? undefined : of("uplinkBytesPerSecond"),
  };
}

/** @throws UserError naming the field that is missing, misspelt, negative or absurd */
export function parseProfile(json: unknown): Profile {
  const fields = new Fields(json, "profile");
  fields.only(["name", "description", "sources", "device", "network", "overlap"]);
  const [name, description, sources] = ["name", "description", "sources"].map((field) => fields.get(field));
  if (typeof name !== "string" || name === "") throw fields.refuse("name", "a name");
  if (typeof description !== "string") throw fields.refuse("description", "a sentence");
  if (!Array.isArray(sources) || !sources.every((source): source is string => typeof source === "string"))
    throw fields.refuse("sources", "a list of where its numbers are from");
  const levels = fields.get("network");
  if (!Array.isArray(levels) || levels.length === 0) throw fields.refuse("network", "a list of at least one level");
  const network = levels.map((level, i) =>
    networkLevel(level, { what: `profile network level ${i}`, last: i === levels.length - 1 }),
  );
  for (let i = 1; i < network.length - 1; i++) {
    const [inner, outer] = [network[i - 1].devices as number, network[i].devices as number];
    if (outer <= inner || outer % inner !== 0)
      throw new UserError(
        `profile network level ${i}: got ${outer} devices, need a multiple of the ${inner} that a unit of the level before joins`,
      );
  }
  return {
    ...{ name, description, sources, network },
    device: deviceProfile(fields.get("device"), "profile device"),
    overlap: fields.boolean("overlap"),
  };
}

/** Of a profile's numbers how many are from where. */
export function countOrigins(profile: unknown): Record<Origin, number> {
  const count = { datasheet: 0, measured: 0, estimate: 0 };
  const visit = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    const { origin } = value as Partial<Quantity>;
    if (origin !== undefined && origin in count) count[origin]++;
    else for (const inside of Object.values(value)) visit(inside);
  };
  visit(profile);
  return count;
}
