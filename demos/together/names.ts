// What devices are called: this one as its person said, or by its browser and system; those of one name by their numbers too.

import type { Member } from "./engine.ts";

export const labelOf = ({ name, number }: Member, members: readonly Member[]): string =>
  members.some((other) => other.name === name && other.number !== number) ? `${name} #${number}` : name;

const key = "shardgrad-name";

export function ownName(): string {
  // A visitor may have forbidden storage: then it is asked for anew each time.
  try {
    return localStorage.getItem(key) ?? guess();
  } catch {
    return guess();
  }
}

export function keepName(name: string): void {
  try {
    localStorage.setItem(key, name);
  } catch {
    // as above
  }
}

function guess(): string {
  const agent = navigator.userAgent;
  const browser = /Firefox/.test(agent)
    ? "Firefox"
    : /Edg/.test(agent)
      ? "Edge"
      : /Chrome|CriOS/.test(agent)
        ? "Chrome"
        : /Safari/.test(agent)
          ? "Safari"
          : "A browser";
  const system = /Android/.test(agent)
    ? "Android"
    : /iPhone|iPad/.test(agent)
      ? "iOS"
      : /Mac OS/.test(agent)
        ? "macOS"
        : /Windows/.test(agent)
          ? "Windows"
          : /CrOS/.test(agent)
            ? "ChromeOS"
            : /Linux/.test(agent)
              ? "Linux"
              : "";
  return system ? `${browser} on ${system}` : browser;
}
