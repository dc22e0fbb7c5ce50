// Choices of variants as data: which adapter and which shaders they were measured with, and by which name they are kept.

import type { AdapterInfo } from "../../backend.ts";

/** What tuning found on an adapter, as JSON can hold it: a variant's name for each class of calls. */
export interface TuningTable {
  /** the adapter, its driver and, in a page, the browser, in words */
  readonly adapter: string;
  /** SHA-256 of every shader's text: a choice is worth nothing once what it was measured with has changed */
  readonly shaders: string;
  readonly choices: Readonly<Record<string, string>>;
}

/** Raised when what a class's or a variant's name means has changed. */
const version = 1;

/** All that WebGPU tells of what runs a shader. */
export function adapterWords(info: AdapterInfo): string {
  const { vendor, architecture, description, software, limits, subgroupMatrices } = info;
  const subgroups = `subgroups ${limits.subgroupMinSize} to ${limits.subgroupMaxSize}`;
  // The browser compiles the shaders before the driver does; Node's driver says its version in the description.
  const browser = globalThis.process?.versions?.node ? "" : (globalThis.navigator?.userAgent ?? "");
  const kind = software ? "software" : "hardware";
  // The feature comes and goes with a browser's flag, and the fastest product with it.
  const matrices = subgroupMatrices ? "subgroup matrices" : "";
  return [vendor, architecture, description, kind, subgroups, matrices, browser].filter(Boolean).join(", ");
}

export async function hashOf(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export const shadersHash = (sources: Readonly<Record<string, string>>): Promise<string> =>
  hashOf(JSON.stringify([version, Object.entries(sources).sort(([a], [b]) => (a < b ? -1 : 1))]));

/** Whether a value, of a file or a caller, is a table. */
export function isTable(value: unknown): value is TuningTable {
  if (typeof value !== "object" || value === null) return false;
  const { adapter, shaders, choices } = value as Partial<Record<keyof TuningTable, unknown>>;
  if (typeof adapter !== "string" || typeof shaders !== "string") return false;
  if (typeof choices !== "object" || choices === null || Array.isArray(choices)) return false;
  return Object.values(choices).every((name) => typeof name === "string");
}
