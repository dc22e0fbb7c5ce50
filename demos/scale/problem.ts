// A question as the library takes it: config, parameters of the step, and a profile with the page's numbers.

import {
  type MeshShape,
  type ModelConfig,
  networkNames,
  type Profile,
  parseModelConfig,
  profileNamed,
  profileNames,
  requireLegal,
  shardedExtents,
  stepParameters,
  type TrainParameters,
  UserError,
  withChanges,
} from "shardgrad/plan";
import type { Question, Sizes } from "./question.ts";

/** @throws UserError for sizes that no model has */
export function configOf(sizes: Sizes): ModelConfig {
  const { arch, layers, width, heads, kvHeads, ffn, vocab, context } = sizes;
  if (arch === "gpt2")
    return parseModelConfig({
      ...{ model_type: "gpt2", vocab_size: vocab, n_positions: context, n_embd: width, n_layer: layers, n_head: heads },
      ...(ffn > 0 && { n_inner: ffn }),
    });
  return parseModelConfig({
    ...{ model_type: "llama", vocab_size: vocab, max_position_embeddings: context, hidden_size: width },
    ...{ num_hidden_layers: layers, num_attention_heads: heads, num_key_value_heads: kvHeads },
    // As the command does: two thirds of 4 h, in whole vectors.
    intermediate_size: ffn > 0 ? ffn : Math.ceil((width * 8) / 3 / 8) * 8,
  });
}

export const withLayers = (config: ModelConfig, layers: number): ModelConfig =>
  config.model_type === "gpt2" ? { ...config, n_layer: layers } : { ...config, num_hidden_layers: layers };

/** @throws UserError when the micro-batches are not alike */
export function parametersOf(question: Question): TrainParameters {
  const { batch, accumulate, context, recompute, dtype } = question;
  if (batch % accumulate !== 0)
    throw new UserError(
      `${batch} sequences make no ${accumulate} micro-batches that are alike; use a divisor of ${batch}, or ${Math.ceil(batch / accumulate) * accumulate} sequences`,
    );
  return stepParameters({ batch: batch / accumulate, accumulate, context, recompute, dtype });
}

/** The profile with the page's factors.
 *  @throws UserError for a name that none has, or a factor that leaves the bounds of a profile */
export function profileOf(
  question: Pick<Question, "profile" | "network" | "bandwidth" | "latency" | "memory">,
): Profile {
  const { bandwidth, latency, memory } = question;
  const profile = profileNamed(question.profile, question.network === "own" ? undefined : question.network);
  if (bandwidth === 1 && latency === 1 && memory === 1) return profile;
  const times = (factor: number, quantity?: { value: number }) => quantity && quantity.value * factor;
  return withChanges(profile, {
    device: { memoryBytes: times(memory, profile.device.memoryBytes) },
    network: profile.network.map((level) => ({
      latencySeconds: times(latency, level.latencySeconds),
      bytesPerSecond: times(bandwidth, level.bytesPerSecond),
      uplinkBytesPerSecond: times(bandwidth, level.uplinkBytesPerSecond),
      downlinkBytesPerSecond: times(bandwidth, level.downlinkBytesPerSecond),
      mediumBytesPerSecond: times(bandwidth, level.mediumBytesPerSecond),
    })),
  });
}

/** What can be chosen. */
export const machines = () => ({ profiles: profileNames, networks: networkNames });

/** Why a mesh cannot train the model; undefined when it can. */
export function whyIllegal(
  shape: MeshShape,
  { config, batch, context }: { config: ModelConfig; batch?: number; context?: number },
): string | undefined {
  try {
    requireLegal(shape, { ...shardedExtents(config), batch, context });
    return undefined;
  } catch (error) {
    if (error instanceof UserError) return error.message;
    throw error;
  }
}
