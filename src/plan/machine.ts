// Devices of one profile with ranks on them: what a kernel and a message take there.

import { UserError } from "../backend/errors.ts";
import type { DeviceProfile, Profile } from "./profile.ts";
import type { KernelWork } from "./program.ts";
import type { Machine, Route } from "./replay.ts";

/** Seconds of a kernel: its launch, and the longer of its arithmetic and its memory traffic (roofline, Williams et al. 2009). */
export function kernelSeconds({ kernel, flops, bytes, product }: KernelWork, device: DeviceProfile): number {
  const { products, flopsPerSecond, bytesPerSecond, launchSeconds, kernels } = device;
  const moving = bytes / bytesPerSecond.value;
  const own = kernels[kernel];
  if (own) return launchSeconds.value + flops / own.value;
  if (!product) return launchSeconds.value + Math.max(flops / flopsPerSecond.value, moving);
  const rate = products[product.dtype === "f16" ? "f16" : "f32"];
  const { m, n, k } = product;
  const share = (extent: number, half: number) => extent / (extent + half);
  const shape = share(m, rate.halfM.value) * share(n, rate.halfN.value) * share(k, rate.halfK.value);
  const computing = flops / (rate.flopsPerSecond.value * rate.efficiency.value * shape);
  return launchSeconds.value + Math.max(computing, moving);
}

/** As many ranks on each device.
 *  @throws UserError when they do not divide */
export function requireSpread(ranks: number, devices: number): void {
  if (devices > ranks || ranks % devices !== 0)
    throw new UserError(
      `${ranks} ranks do not spread evenly over ${devices} devices; use ${devices > ranks ? `at most ${ranks}` : "a divisor"}`,
    );
}

/** ranks of a mesh, in their order, spread over devices.
 *  @throws UserError as requireSpread */
export function machineOf(
  profile: Profile,
  { ranks, devices, works }: { ranks: number; devices: number; works: readonly KernelWork[] },
): Machine {
  requireSpread(ranks, devices);
  const seconds = Float64Array.from(works, (work) => kernelSeconds(work, profile.device));
  const network = new Network(profile, devices);
  return {
    ...{ devices, sharedLinks: network.links, overlap: profile.overlap },
    localSeconds: profile.device.localMessageSeconds?.value ?? 0,
    hostKernelSeconds: profile.device.hostKernelSeconds?.value ?? 0,
    hostMessageSeconds: profile.device.hostMessageSeconds?.value ?? 0,
    deviceOf: Int32Array.from({ length: ranks }, (_, rank) => Math.floor((rank * devices) / ranks)),
    kernelSeconds: (work) => seconds[work],
    route: (from, to) => network.route(from, to),
  };
}

/** Who is near whom, and which links they share. */
class Network {
  readonly links: number;
  readonly #profile: Profile;
  /** of level i's media, one of each unit: from here on */
  readonly #firstMedium: number[] = [];
  /** of level i's uplinks, which belong to units of level i - 1: out of unit u 2 u, into it 2 u + 1, from here on */
  readonly #firstLink: number[] = [];
  /** from each device */
  readonly #routes: readonly Map<number, Route>[];
  readonly #devices: number;

  constructor(profile: Profile, devices: number) {
    this.#profile = profile;
    this.#devices = devices;
    this.#routes = Array.from({ length: devices }, () => new Map<number, Route>());
    let links = 0;
    for (const [i, { uplinkBytesPerSecond, mediumBytesPerSecond }] of profile.network.entries()) {
      this.#firstMedium.push(links);
      if (mediumBytesPerSecond) links += Math.ceil(devices / this.#unit(i));
      this.#firstLink.push(links);
      if (uplinkBytesPerSecond) links += 2 * Math.ceil(devices / this.#unit(i - 1));
    }
    this.links = links;
  }

  /** Devices that a unit of a level joins. */
  #unit(level: number): number {
    return level < 0 ? 1 : (this.#profile.network[level].devices ?? this.#devices);
  }

  route(from: number, to: number): Route {
    let route = this.#routes[from].get(to);
    if (!route) {
      route = this.#makeRoute(from, to);
      this.#routes[from].set(to, route);
    }
    return route;
  }

  #makeRoute(from: number, to: number): Route {
    const { network } = this.#profile;
    const common = network.findIndex((_, i) => Math.floor(from / this.#unit(i)) === Math.floor(to / this.#unit(i)));
    const shared: { link: number; bytesPerSecond: number }[] = [];
    for (let i = 0; i <= common; i++) {
      const { uplinkBytesPerSecond: up, downlinkBytesPerSecond: down = up, mediumBytesPerSecond } = network[i];
      const [below, unit] = [this.#unit(i - 1), this.#unit(i)];
      if (up && down) {
        const out = this.#firstLink[i] + 2 * Math.floor(from / below);
        const into = this.#firstLink[i] + 2 * Math.floor(to / below) + 1;
        shared.push({ link: out, bytesPerSecond: up.value }, { link: into, bytesPerSecond: down.value });
      }
      if (mediumBytesPerSecond)
        for (const u of new Set([Math.floor(from / unit), Math.floor(to / unit)]))
          shared.push({ link: this.#firstMedium[i] + u, bytesPerSecond: mediumBytesPerSecond.value });
    }
    const port = network[common].bytesPerSecond.value;
    const slowest = Math.min(port, ...shared.map(({ bytesPerSecond }) => bytesPerSecond));
    return { alpha: network[common].latencySeconds.value, bytesPerSecond: slowest, shared };
  }
}
