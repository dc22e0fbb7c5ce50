// 2D against 2.5D at 64 ranks over tokens for each column of the model: which of them moves fewer words in a block.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseModelConfig } from "../../src/nn/config.ts";
import { meshShape } from "../../src/parallel/shape.ts";
import { parametersOf } from "../../src/plan/record-step.ts";
import { recordRanks } from "../../src/plan/simulate.ts";

const width = 1024;

/** Words that the ranks of a mesh receive for a block's linears, on average: what a second block adds. */
async function blockWords(dims: readonly number[], tokens: number): Promise<number> {
  const shape = meshShape({ dims });
  const context = tokens / 16;
  const words: number[] = [];
  for (const layers of [1, 2]) {
    const config = parseModelConfig({
      ...{ model_type: "gpt2", vocab_size: 64, n_positions: context, n_embd: width, n_layer: layers, n_head: 8 },
      bias: false,
    });
    const { entries } = await recordRanks({
      shape,
      config,
      parameters: parametersOf({ batch: 16, context }),
    });
    const counted = ["linear forward", "linear backward", "gradient sum"];
    const all = entries.flat().filter(({ purpose }) => counted.includes(purpose));
    words.push(all.reduce((sum, each) => sum + each.words, 0) / shape.size);
  }
  return words[1] - words[0];
}

for (const [factor, wanted] of [
  [1, 0.7],
  [8, 1.42],
  [32, 1.97],
] as const)
  test(`${factor} tokens a column: 8x8 moves ${wanted} times the words of 4x4x4`, async () => {
    const ratio = (await blockWords([8, 8], factor * width)) / (await blockWords([4, 4, 4], factor * width));
    assert.is(ratio.toFixed(2), wanted.toFixed(2));
  });

test.run();
