// Any legal mesh, model and batch: a step on ranks is the serial layout's, copies are equal to the bit, and the words received are the
// closed form's. Shapes are drawn as multiples of what the mesh asks for, so that a counterexample shrinks to the smallest legal one.

import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseModelConfig } from "../../src/nn/config.ts";
import { trainingTraffic } from "../../src/nn/traffic.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import { mesh, type NamedMesh } from "./meshes.ts";
import { faults, type Program, watchRanks, watchSerial } from "./observed.ts";

// 1 x 1 x d shares samples alone; 2.5D also with d != q.
const meshes = [
  ...[2, 3, 5, 6].flatMap((size) => [mesh("1d", [size]), mesh("1d-sp", [size])]),
  ...[mesh("2d", [2, 2]), mesh("2d", [3, 3])],
  ...[mesh("2.5d", [1, 1, 2]), mesh("2.5d", [1, 1, 3]), mesh("2.5d", [2, 2, 2]), mesh("2.5d", [2, 2, 3])],
];

const upTo = (max: number) => fc.integer({ min: 1, max });

const drawn = fc.record({
  shape: fc.constantFrom(...meshes),
  arch: fc.constantFrom("gpt2" as const, "llama" as const),
  /** GPT-2's biases, Llama's head of its own */
  extra: fc.boolean(),
  activation: fc.constantFrom("gelu", "gelu_new"),
  layers: upTo(2),
  heads: upTo(2),
  /** query heads on each key-value head */
  queries: upTo(3),
  halfWidth: fc.integer({ min: 2, max: 4 }),
  ffn: upTo(9),
  vocab: fc.integer({ min: 5, max: 61 }),
  samples: upTo(5),
  batch: upTo(2),
  context: fc.integer({ min: 2, max: 7 }),
  unusedPositions: fc.nat(2),
  accumulate: upTo(2),
  steps: upTo(2),
  dropout: fc.constantFrom(0, 0.3),
  clip: fc.constantFrom(0, 0.3),
  recompute: fc.boolean(),
});

/** The least batch, and what heads and hidden width are multiples of. */
function unitsOf({ layout, size, q, d }: NamedMesh, context: number): { batch: number; cut: number } {
  if (layout === "2d" || layout === "2.5d") return { batch: q * d, cut: q };
  // Ranks that share rows need not share samples.
  let batch = 1;
  if (layout === "1d-sp") while ((batch * context) % size !== 0) batch++;
  return { batch, cut: size };
}

function programOf({ shape, ...draw }: typeof drawn extends fc.Arbitrary<infer T> ? T : never): Program {
  const { context } = draw;
  const { batch, cut } = unitsOf(shape, context);
  const kvHeads = draw.heads * cut;
  const heads = draw.arch === "llama" ? kvHeads * draw.queries : kvHeads;
  const width = heads * 2 * draw.halfWidth;
  const maxPositions = context + draw.unusedPositions;
  const config = parseModelConfig(
    draw.arch === "gpt2"
      ? {
          ...{ model_type: "gpt2", vocab_size: draw.vocab, n_positions: maxPositions, n_layer: draw.layers },
          ...{ n_embd: width, n_head: heads, n_inner: draw.ffn * cut, bias: draw.extra },
          activation_function: draw.activation,
        }
      : {
          ...{ model_type: "llama", vocab_size: draw.vocab, max_position_embeddings: maxPositions },
          ...{ hidden_size: width, num_attention_heads: heads, num_key_value_heads: kvHeads },
          ...{ num_hidden_layers: draw.layers, intermediate_size: draw.ffn * cut, tie_word_embeddings: !draw.extra },
        },
  );
  const { accumulate, steps, dropout, clip, recompute, samples } = draw;
  return { config, batch: batch * draw.batch, context, accumulate, steps, dropout, clip, recompute, samples };
}

const runs = 50;

test(`${runs} random steps on random meshes: serial's logits, losses, norms and gradients, equal copies, the closed form's words and messages`, async () => {
  const device = await backendUnderTest();
  await fc.assert(
    fc.asyncProperty(drawn, async (draw) => {
      const program = programOf(draw);
      const serial = await watchSerial(device, program);
      const ranks = await watchRanks(draw.shape, { device, program });
      assert.equal(faults(ranks, serial), []);
      const { words, messages } = trainingTraffic(program.config, { shape: draw.shape, ...program });
      for (const [rank, { stepReceived }] of ranks.entries())
        for (const received of stepReceived)
          assert.equal(received, { words: words[rank], messages: messages[rank] }, `rank ${rank}`);
      assert.is(device.memory.total, 0, "nothing is left allocated");
    }),
    { numRuns: runs, seed: 20_260_101 },
  );
});

test.after(closeBackend);
test.run();
