// How long a step will take, as far as it can be said before it is taken.

import type { Cost, Member } from "./engine.ts";

/** What two tabs of one machine get through a data channel (docs/links.md): bytes a second, each. */
export const tabsBytesPerSecond = 42e6;
/** What all devices on one Wi-Fi get through it together, as in profiles/networks/wifi.json: bytes a second. */
export const wifiBytesPerSecond = 36.4e6;

/** @param local tabs of one machine, which share what computes; else devices of this speed each, on one Wi-Fi */
export function expectedStepSeconds(cost: Cost, { flopsPerSecond, local }: { flopsPerSecond: number; local: boolean }) {
  const ranks = cost.bytesReceived.length;
  const computing = cost.flopsPerStep / (local ? 1 : ranks) / flopsPerSecond;
  // All wait for the one that receives the most.
  const channel = Math.max(...cost.bytesReceived) / tabsBytesPerSecond;
  // One message after another passes through the air.
  const air = cost.bytesReceived.reduce((sum, bytes) => sum + bytes, 0) / wifiBytesPerSecond;
  return computing + (local ? channel : Math.max(channel, air));
}

/** Of a member's own words; undefined where it has said nothing of it. */
export function speedOf({ adapter }: Member): number | undefined {
  const words = /([\d.]+(?:e\+\d+)?) GFLOP\/s$/.exec(adapter)?.[1];
  return words === undefined ? undefined : Number(words) * 1e9;
}

/** Of the slowest device. */
export function slowest(members: readonly Member[]): number | undefined {
  const speeds = members.flatMap((member) => speedOf(member) ?? []);
  return speeds.length > 0 ? Math.min(...speeds) : undefined;
}
