// A profile with other numbers: what if the network were slower, or the devices had more memory?

import { type NetworkLevel, type Profile, parseProfile } from "./profile.ts";
import type { Quantity } from "./quantity.ts";

export interface LevelChanges {
  readonly latencySeconds?: number;
  /** of one device's port, each way */
  readonly bytesPerSecond?: number;
  /** of links that devices share, see NetworkLevel */
  readonly uplinkBytesPerSecond?: number;
  readonly downlinkBytesPerSecond?: number;
  readonly mediumBytesPerSecond?: number;
}

/** What is absent stays. */
export interface ProfileChanges {
  readonly device?: {
    readonly memoryBytes?: number;
    readonly bytesPerSecond?: number;
    readonly launchSeconds?: number;
    /** of products, in f32 and in f16, before their efficiency */
    readonly productFlopsPerSecond?: { readonly f32?: number; readonly f16?: number };
  };
  /** of every level, or of each from the nearest to the farthest */
  readonly network?: LevelChanges | readonly LevelChanges[];
}

/** The profile with these numbers, as estimates. Links that a level does not have are not made, and rates that a device has for kernels of
 *  their own stay.
 *  @throws UserError naming a number that is out of bounds */
export function withChanges(profile: Profile, { device: change = {}, network = {} }: ProfileChanges): Profile {
  const { device } = profile;
  const { products } = device;
  const { productFlopsPerSecond: { f32, f16 } = {}, ...numbers } = change;
  const changed = {
    ...profile,
    device: {
      ...replaced(device, numbers),
      products: {
        f32: replaced(products.f32, { flopsPerSecond: f32 }),
        f16: replaced(products.f16, { flopsPerSecond: f16 }),
      },
    },
    network: profile.network.map((level, i) =>
      replaced(bothWays(level), isList(network) ? (network[i] ?? {}) : network),
    ),
  };
  return parseProfile(JSON.parse(JSON.stringify(changed)));
}

const isList = (network: LevelChanges | readonly LevelChanges[]): network is readonly LevelChanges[] =>
  Array.isArray(network);

/** A link that is alike both ways may not be so any more. */
const bothWays = (level: NetworkLevel): NetworkLevel => ({
  ...level,
  downlinkBytesPerSecond: level.downlinkBytesPerSecond ?? level.uplinkBytesPerSecond,
});

function replaced<T extends object>(of: T, numbers: Readonly<Partial<Record<keyof T, number>>>): T {
  const changes = Object.entries<number | undefined>(numbers).flatMap(([name, value]): [string, Quantity][] =>
    value === undefined || of[name as keyof T] === undefined ? [] : [[name, { value, origin: "estimate" }]],
  );
  return { ...of, ...Object.fromEntries(changes) };
}
