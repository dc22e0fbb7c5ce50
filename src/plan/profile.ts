// Hardware as a simulation knows it: rates of one device, and of the network between many. A small JSON file, in which every number says
// where it is from; profiles/schema.json says the same for editors.

import { UserError } from "../backend/errors.ts";
import type { KernelName } from "../backend/kernels.ts";
import { kernelNames } from "../backend/work.ts";
import { Fields, nearest, show } from "../nn/fields.ts";
import { profileFiles } from "./profile-files.ts";
import { has, type Quantity, quantities, quantity } from "./quantity.ts";

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
  /** of a message between ranks on one device, which is a reference: what its handling takes; nothing when undefined */
  readonly localMessageSeconds: Quantity | undefined;
  /** of the thread that asks for them, which goes ahead of the device: each kernel, and each message between ranks on one device */
  readonly hostKernelSeconds: Quantity | undefined;
  readonly hostMessageSeconds: Quantity | undefined;
  /** flops a second, counted as in work.ts, of kernels that have a rate of their own, whatever memory they move */
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
  /** of the link from a lower unit into this level, which its devices share: one message after another */
  readonly uplinkBytesPerSecond: Quantity | undefined;
  /** of that link's other way; undefined where both are alike */
  readonly downlinkBytesPerSecond: Quantity | undefined;
  /** of what carries every message of a unit, whoever sends it, one after another: a radio channel */
  readonly mediumBytesPerSecond: Quantity | undefined;
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

/** What one file says: of a device, of a network, or of both. */
export interface ProfilePart extends Pick<Profile, "name" | "description" | "sources"> {
  readonly device: DeviceProfile | undefined;
  readonly network: readonly NetworkLevel[] | undefined;
  readonly overlap: boolean | undefined;
}

function productRate(json: unknown, what: string): ProductRate {
  const fields = new Fields(json, what);
  const names = ["flopsPerSecond", "efficiency", "halfM", "halfN", "halfK"] as const;
  fields.only(names);
  return quantities(fields, { names, what });
}

function deviceProfile(json: unknown, what: string): DeviceProfile {
  const fields = new Fields(json, what);
  const names = ["memoryBytes", "flopsPerSecond", "bytesPerSecond", "launchSeconds"] as const;
  const optional = ["localMessageSeconds", "hostKernelSeconds", "hostMessageSeconds"] as const;
  fields.only([...names, ...optional, "products", "kernels"]);
  const maybe = (name: (typeof optional)[number]) =>
    has(json, name) ? quantity(fields, { name, what, bound: name }) : undefined;
  const products = new Fields(fields.get("products"), `${what} products`);
  products.only(["f32", "f16"]);
  const kernels: Partial<Record<KernelName, Quantity>> = {};
  if (has(json, "kernels")) {
    const inside = new Fields((json as { kernels: unknown }).kernels, `${what} kernels`);
    inside.only(kernelNames);
    for (const name of kernelNames)
      if (has((json as { kernels: unknown }).kernels, name))
        kernels[name] = quantity(inside, { name, what: `${what} kernels`, bound: "flopsPerSecond" });
  }
  return {
    ...quantities(fields, { names, what }),
    localMessageSeconds: maybe("localMessageSeconds"),
    hostKernelSeconds: maybe("hostKernelSeconds"),
    hostMessageSeconds: maybe("hostMessageSeconds"),
    products: {
      f32: productRate(products.get("f32"), `${what} products f32`),
      f16: productRate(products.get("f16"), `${what} products f16`),
    },
    kernels,
  };
}

function networkLevel(json: unknown, { what, last }: { what: string; last: boolean }): NetworkLevel {
  const fields = new Fields(json, what);
  const names = ["latencySeconds", "bytesPerSecond"] as const;
  const optional = ["uplinkBytesPerSecond", "downlinkBytesPerSecond", "mediumBytesPerSecond"] as const;
  fields.only(["name", "devices", ...names, ...optional]);
  if (last && has(json, "devices"))
    throw fields.refuse("devices", "no such field: the last level joins any number of devices");
  if (has(json, "downlinkBytesPerSecond") && !has(json, "uplinkBytesPerSecond"))
    throw fields.refuse("uplinkBytesPerSecond", "the other way of the link that downlinkBytesPerSecond is of");
  const maybe = (name: (typeof optional)[number]) =>
    has(json, name) ? quantity(fields, { name, what, bound: name }) : undefined;
  return {
    name: sentence(fields, { name: "name", needed: "what this level is called" }),
    devices: last ? undefined : fields.size("devices"),
    ...quantities(fields, { names, what }),
    uplinkBytesPerSecond: maybe("uplinkBytesPerSecond"),
    downlinkBytesPerSecond: maybe("downlinkBytesPerSecond"),
    mediumBytesPerSecond: maybe("mediumBytesPerSecond"),
  };
}

function networkLevels(json: unknown): NetworkLevel[] {
  if (!Array.isArray(json) || json.length === 0)
    throw new UserError(
      `profile: got network ${Array.isArray(json) ? "of no level" : show(json)}, need a list of levels from the nearest to the farthest, or the name of a profile that has one`,
    );
  const levels = json.map((level, i) =>
    networkLevel(level, { what: `profile network level ${i}`, last: i === json.length - 1 }),
  );
  for (let i = 0; i < levels.length - 1; i++) {
    const [inner, outer] = [levels[i - 1]?.devices ?? 1, levels[i].devices as number];
    if (outer <= inner || outer % inner !== 0)
      throw new UserError(
        `profile network level ${i}: got devices ${outer}, need ${i === 0 ? "at least 2" : `a larger multiple of the ${inner} that a unit of the level before joins`}`,
      );
  }
  return levels;
}

function sentence(fields: Fields, { name, needed }: { name: string; needed: string }): string {
  const text = fields.get(name);
  if (typeof text !== "string" || text.trim() === "") throw fields.refuse(name, needed);
  return text;
}

/** What a file says. Its device and its network may each be the name of a profile that has one.
 *  @throws UserError naming the field that is missing, misspelt, negative or absurd */
export function parsePart(json: unknown): ProfilePart {
  const fields = new Fields(json, "profile");
  fields.only(["$schema", "name", "description", "sources", "device", "network", "overlap"]);
  const name = sentence(fields, { name: "name", needed: "what it is called" });
  const description = sentence(fields, { name: "description", needed: "a sentence that says what it is" });
  const sources = fields.get("sources");
  if (!Array.isArray(sources) || !sources.every((source): source is string => typeof source === "string"))
    throw fields.refuse("sources", "a list of texts that say where its numbers are from");
  if (has(json, "$schema") && typeof fields.get("$schema") !== "string")
    throw fields.refuse("$schema", "the schema's address, or no such field");
  if (!has(json, "device") && !has(json, "network")) throw fields.refuse("device", "a device, a network, or both");
  const [given, links] = [fields.get("device"), fields.get("network")];
  const named = {
    device: typeof given === "string" ? partNamed(given, "device") : undefined,
    network: typeof links === "string" ? partNamed(links, "network") : undefined,
  };
  if (!has(json, "device") && has(json, "overlap"))
    throw fields.refuse("overlap", "no such field: it is a device that computes while messages are under way");
  return {
    ...{ name, description },
    sources: [...new Set([...sources, ...(named.device?.sources ?? []), ...(named.network?.sources ?? [])])],
    device: has(json, "device") ? (named.device?.device ?? deviceProfile(given, "profile device")) : undefined,
    network: has(json, "network") ? (named.network?.network ?? networkLevels(links)) : undefined,
    overlap: named.device && !has(json, "overlap") ? named.device.overlap : overlapOf(fields, has(json, "device")),
  };
}

const overlapOf = (fields: Fields, device: boolean) => (device ? fields.boolean("overlap") : undefined);

/** A device with a network.
 *  @throws UserError as parsePart's, and for a file that has only one of them */
export function parseProfile(json: unknown): Profile {
  return whole(parsePart(json));
}

/** A part with the network of another, if one is given.
 *  @throws UserError when there is no device, or no network */
export function whole(part: ProfilePart, other?: ProfilePart): Profile {
  const { name, description, device, overlap } = part;
  if (!device || overlap === undefined)
    throw new UserError(
      `profile ${name}: got a network and no device; use a device's profile, and this one as its network`,
    );
  const network = (other ?? part).network;
  if (!network)
    throw new UserError(
      `profile ${(other ?? part).name}: got a device and no network; use a network's profile beside it, one of ${namesWith("network").join(", ")}`,
    );
  if (!other) return { name, description, sources: part.sources, device, network, overlap };
  return {
    ...{ device, network, overlap },
    name: `${name}, ${other.name}`,
    description: `${description}; between them: ${other.description}`,
    sources: [...new Set([...part.sources, ...other.sources])],
  };
}

/** Names of those profiles of the package that have a device or a network. */
export const namesWith = (field: "device" | "network"): string[] =>
  Object.keys(profileFiles).filter((name) => has(profileFiles[name], field));

/** What the package's file of a name says.
 *  @throws UserError for a name that none has */
export function partNamed(name: string, field: "device" | "network"): ProfilePart {
  const names = namesWith(field);
  if (names.includes(name)) return parsePart(profileFiles[name]);
  const all = `${names.join(", ")}, or give a file's path`;
  if (field === "device" && namesWith("network").includes(name))
    throw new UserError(
      `profile ${name} is a network and has no device; it goes to --network, or is a file's network; devices are ${all}`,
    );
  const near = nearest(name, names);
  throw new UserError(
    `there is no profile ${show(name)} with a ${field}; ${near ? `did you mean ${near}? There` : "there"} are ${all}`,
  );
}
