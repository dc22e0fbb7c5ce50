// What a model writes that is not under way: its weights from a checkpoint, on one rank.

import { createBackend, generate, Model, readSafetensors, Serial } from "shardgrad";
import { readCheckpoint } from "shardgrad/parallel";
import type { Settings } from "./settings.ts";

/** As the library's runs sample. */
const sampling = { topK: 0, topP: 0.95 } as const;

/** Yields the tokens that follow the prompt. */
export async function* writeFrom(
  checkpoint: Uint8Array,
  options: { backend: Settings["backend"]; prompt: Int32Array; tokens: number; temperature: number; seed: number },
): AsyncGenerator<number> {
  const { prompt, tokens, temperature, seed } = options;
  const { config } = readCheckpoint(checkpoint);
  const { backend } = await createBackend({ backend: options.backend });
  try {
    const weights = readSafetensors(checkpoint);
    const model = new Model(backend, { config, layout: new Serial(backend), seed, weights });
    try {
      yield* generate(model, { prompt, tokens, temperature, ...sampling, seed });
    } finally {
      model.dispose();
    }
  } finally {
    backend.dispose();
  }
}
