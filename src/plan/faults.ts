// A machine with faults: devices slower than their profile, links that get worse, times that differ from run to run. What comes out is a
// function of (seed, run, op) alone, in whatever order ops run.

import { philox } from "../backend/philox.ts";
import { streams } from "../tensor/random.ts";
import type { StepProgram } from "./program.ts";
import type { Machine } from "./replay.ts";

export interface Faults {
  /** by device: each of its kernels takes so many times as long */
  readonly slow: ReadonlyMap<number, number>;
  readonly degraded: readonly DegradedLink[];
  /** Standard deviation of the logarithm of what each kernel's and each message's time is multiplied by: log-normal, of mean 1. 0: none */
  readonly jitter: number;
  /** of the jitter */
  readonly seed: number;
  /** which of the runs with this seed */
  readonly run: number;
}

/** Messages between two devices, both ways, that begin at that second or later take so many times as long. */
export interface DegradedLink {
  readonly devices: readonly [number, number];
  readonly factor: number;
  readonly fromSeconds: number;
}

/** The machine with these faults. Where a link degrades more than once, what has begun last counts. */
export function withFaults(machine: Machine, { program, faults }: { program: StepProgram; faults: Faults }): Machine {
  const { slow, jitter } = faults;
  const receives = program.messages.receive;
  const factor = jitter > 0 ? jitterOf(faults) : () => 1;
  const links = linksOf(faults.degraded, machine.devices);
  return {
    ...machine,
    slowdown: (device, op) => (slow.get(device) ?? 1) * factor(op),
    // A message's own op is the one that ends when it comes: no kernel has that number.
    congestion: (message, { from, to, seconds }) => {
      const degraded = links.get(from * machine.devices + to)?.findLast(({ fromSeconds }) => fromSeconds <= seconds);
      return (degraded?.factor ?? 1) * factor(receives[message]);
    },
  };
}

/** By from * devices + to, earlier ones first. */
function linksOf(degraded: readonly DegradedLink[], devices: number): Map<number, DegradedLink[]> {
  const links = new Map<number, DegradedLink[]>();
  for (const link of degraded.toSorted((a, b) => a.fromSeconds - b.fromSeconds)) {
    const [a, b] = link.devices;
    for (const key of [a * devices + b, b * devices + a]) links.set(key, [...(links.get(key) ?? []), link]);
  }
  return links;
}

/** exp(sigma z - sigma^2/2), z standard normal by Box and Muller from an op's own Philox words. */
function jitterOf({ jitter: sigma, seed, run }: Faults): (op: number) => number {
  const [counter, key, words] = [new Uint32Array(4), new Uint32Array(2), new Uint32Array(4)];
  counter.set([0, run, 0, streams.jitter]);
  key[0] = seed;
  return (op) => {
    counter[0] = op;
    philox({ counter, key }, words);
    const [a, b] = [(words[0] + 0.5) / 2 ** 32, (words[1] + 0.5) / 2 ** 32];
    const z = Math.sqrt(-2 * Math.log(a)) * Math.cos(2 * Math.PI * b);
    return Math.exp(sigma * z - (sigma * sigma) / 2);
  };
}
