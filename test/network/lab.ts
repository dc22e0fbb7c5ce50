// Machines of a test's own: network namespaces on bridges. Tests whose names begin with isolation are started by scripts/test.mjs as root of a
// network that has nothing but itself, and of mounts that nobody else sees: whatever they make ends with them, however they end.

import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";

const ip = (...words: string[]) => execFileSync("ip", words, { stdio: ["ignore", "ignore", "pipe"] });

/** To be called first.
 *  @throws Error in a network that others use too */
export function useOwnNetwork(): void {
  if (process.env.SHARDGRAD_OWN_NETWORK !== "1")
    throw new Error("this file changes the network it runs in; npm test -- network isolation gives it one of its own");
  execFileSync("mount", ["-t", "tmpfs", "none", "/run"]);
  mkdirSync("/run/netns");
  ip("link", "set", "lo", "up");
}

/** A bridge, with machines that are cabled to it. They reach this process at the addresses of all bridges, and no machine of another one: nothing
 *  is forwarded. */
export class Lab {
  readonly #name: string;
  readonly #subnet: string;
  #machines = 0;

  /** @param subnet the first three numbers of its addresses */
  constructor(name: string, subnet: string) {
    this.#name = name;
    this.#subnet = subnet;
    ip("link", "add", `${name}-bridge`, "type", "bridge");
    ip("addr", "add", `${this.address}/24`, "dev", `${name}-bridge`);
    ip("link", "set", `${name}-bridge`, "up");
  }

  /** of the bridge, where this process is */
  get address(): string {
    return `${this.#subnet}.254`;
  }

  /** A network namespace with an address of its own. */
  machine(): Machine {
    const number = ++this.#machines;
    const name = `${this.#name}${number}`;
    const [cable, plug] = [`${name}-cable`, `${name}-plug`];
    const address = `${this.#subnet}.${number}`;
    ip("netns", "add", name);
    ip("link", "add", cable, "type", "veth", "peer", "name", plug, "netns", name);
    ip("link", "set", cable, "master", `${this.#name}-bridge`, "up");
    ip("-n", name, "addr", "add", `${address}/24`, "dev", plug);
    ip("-n", name, "link", "set", plug, "up");
    ip("-n", name, "link", "set", "lo", "up");
    ip("-n", name, "route", "add", "default", "via", this.address);
    return {
      address,
      within: ["nsenter", `--net=/run/netns/${name}`],
      cut: () => void ip("-n", name, "link", "set", plug, "down"),
    };
  }
}

export interface Machine {
  address: string;
  /** what a command is started with to be on it */
  within: string[];
  /** takes its link down: nothing leaves it or reaches it from then on, and nobody is told */
  cut(): void;
}
