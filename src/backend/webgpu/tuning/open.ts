// A WebGPU backend that tunes.

import { WebGpuBackend } from "../backend.ts";
import type { OpenDevice } from "../device.ts";
import { tuningShaders } from "./shaders.ts";
import { openStore } from "./store.ts";
import { adapterWords, type TuningTable } from "./table.ts";
import { Tuner } from "./tuner.ts";

export interface TunedOptions {
  /** shaders beside the library's: benchmarks' */
  sources?: Readonly<Record<string, string>>;
  /** choices to take as they are; without it those kept for the adapter are taken, and what is missing is measured */
  table?: TuningTable;
  tell: (line: string) => void;
}

export async function openTuned(
  { device, info, sources }: OpenDevice,
  { sources: more, table, tell }: TunedOptions,
): Promise<{ backend: WebGpuBackend; tuning: Tuner }> {
  const own = { ...sources, ...tuningShaders };
  const store = table ? undefined : await openStore(adapterWords(info));
  const tuning = await Tuner.open({ device, info, sources: own, store, table, tell });
  return { backend: new WebGpuBackend({ device, info, sources: { ...own, ...more }, chooser: tuning }), tuning };
}
