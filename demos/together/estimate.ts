// How long a step will take, as far as it can be said before it is taken.

import type { Cost, Member } from "./engine.ts";

/** What two tabs of one machine, and two machines on Wi-Fi that gives 100 Mbit/s, get through a data channel: bytes a second. */
export const [tabsBytesPerSecond, wifiBytesPerSecond] = [42e6, 12e6];

/** @param local tabs of one machine, which share what computes; else devices of this speed each, on Wi-Fi */
export function expectedStepSeconds(cost: Cost, { flopsPerSecond, local }: { flopsPerSecond: number; local: boolean }) {
  const ranks = cost.bytesReceived.length;
  return local
    ? stepSeconds(cost, { flopsPerSecond: flopsPerSecond / ranks, bytesPerSecond: tabsBytesPerSecond })
    : stepSeconds(cost, { flopsPerSecond, bytesPerSecond: wifiBytesPerSecond });
}

/** All ranks compute at once; all wait for the one that receives the most. */
function stepSeconds(
  cost: Cost,
  { flopsPerSecond, bytesPerSecond }: { flopsPerSecond: number; bytesPerSecond: number },
): number {
  const ranks = cost.bytesReceived.length;
  return cost.flopsPerStep / ranks / flopsPerSecond + Math.max(...cost.bytesReceived) / bytesPerSecond;
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
