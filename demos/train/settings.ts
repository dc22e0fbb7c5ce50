// What a run is asked for on this page: plain data, which its address holds and its worker reads.

import type { BackendChoice } from "../kit/backends.ts";

export const layouts = ["serial", "1d", "1d-sp", "2d", "2.5d"] as const;
export const places = ["process", "workers"] as const;
export const dtypes = ["f32", "f16"] as const;

/** A type, not an interface: signals of it go by its names. */
export type Settings = {
  layout: (typeof layouts)[number];
  /** of 1d and 1d-sp */
  ranks: number;
  /** rows and columns of 2d and 2.5d */
  q: number;
  /** of 2.5d */
  depth: number;
  /** all ranks in one process on one device, or each in a worker with a device of its own */
  place: (typeof places)[number];
  backend: BackendChoice;
  dtype: (typeof dtypes)[number];
  layers: number;
  heads: number;
  width: number;
  context: number;
  batch: number;
  steps: number;
  rate: number;
  seed: number;
  /** steps between two samples of what the model writes; 0: only at the end */
  sampleEvery: number;
};

/** What a number may be. */
export const bounds = {
  ranks: { from: 2, to: 16 },
  q: { from: 2, to: 4 },
  depth: { from: 2, to: 4 },
  layers: { from: 1, to: 48 },
  heads: { from: 1, to: 64 },
  width: { from: 4, to: 4096 },
  context: { from: 2, to: 4096 },
  batch: { from: 1, to: 1024 },
  steps: { from: 1, to: 1_000_000 },
  rate: { from: 0, to: 1e6 },
  seed: { from: 0, to: 0xffff_ffff },
  sampleEvery: { from: 0, to: 100_000 },
} as const;

/** Sizes that learn something in a minute on the processor alone. */
export const initial: Settings = {
  ...{ layout: "2.5d", ranks: 4, q: 2, depth: 2, place: "process", backend: "auto", dtype: "f32" },
  ...{ layers: 4, heads: 4, width: 128, context: 64, batch: 12 },
  ...{ steps: 500, rate: 2e-3, seed: 1, sampleEvery: 50 },
};

/** For browsers without WebGPU, whose processors are often slow too. */
export const smaller: Partial<Settings> = { layers: 2, width: 64, batch: 8, steps: 300 };

/** As the library's runs sample. */
export const usualTemperature = 0.8;

/** What the text is called that the page begins with. */
export const sourcesName = "this project's sources";

/** A name that no other run has. Pages that came over http from elsewhere have no randomUUID. */
export const newRunId = (): string => `${Date.now()}-${Math.random()}`;

/** The mesh's axes, as the library takes them; none for one rank. */
export function dimsOf({ layout, ranks, q, depth }: Settings): readonly number[] | undefined {
  if (layout === "serial") return undefined;
  if (layout === "2d") return [q, q];
  return layout === "2.5d" ? [q, q, depth] : [ranks];
}

/** The mesh in words: "2.5d on 2 x 2 x 2". */
export function meshWords(settings: Settings): string {
  const dims = dimsOf(settings);
  return dims ? `${settings.layout} on ${dims.join(" × ")}` : "one rank";
}
