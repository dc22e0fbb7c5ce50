// The plan's first choice against every legal way to train, each simulated whole.

import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { UserError } from "../../src/backend/errors.ts";
import { type ModelConfig, parseModelConfig } from "../../src/nn/config.ts";
import { shardedExtents } from "../../src/nn/extents.ts";
import { type MeshShape, requireLegal, shapesOf } from "../../src/parallel/shape.ts";
import type { Profile } from "../../src/plan/profile.ts";
import { profileNamed } from "../../src/plan/profiles.ts";
import { parametersOf } from "../../src/plan/record-step.ts";
import { searchPlan } from "../../src/plan/search.ts";
import type { PlanProblem } from "../../src/plan/shape-search.ts";
import { recordRanks, simulate } from "../../src/plan/simulate.ts";
import type { TrainParameters } from "../../src/train/events.ts";

/** SHARDGRAD_PLAN_PROBLEMS: more, or a long run by hand */
const problems = Number(process.env.SHARDGRAD_PLAN_PROBLEMS ?? 10);

interface Way {
  shape: MeshShape;
  accumulate: number;
  recompute: boolean;
  seconds: number;
  memoryBytes: number;
}

async function simulated(
  problem: PlanProblem,
  { shape, accumulate, recompute }: Omit<Way, "seconds" | "memoryBytes">,
): Promise<Way> {
  const { config, profile, devices, batches } = problem;
  const parameters = { ...problem.parameters, batch: batches[0] / accumulate, accumulate, recompute };
  const record = await recordRanks({ shape, config, parameters });
  const { seconds } = simulate(record, { profile, devices });
  return {
    shape,
    accumulate,
    recompute,
    seconds,
    memoryBytes: Math.max(...record.peakBytes.map(({ total }) => total)),
  };
}

async function everyWay(problem: PlanProblem): Promise<Way[]> {
  const [batch] = problem.batches;
  const { context } = problem.parameters;
  const ways: Way[] = [];
  for (const shape of shapesOf(problem.devices))
    for (let accumulate = 1; accumulate <= batch; accumulate++) {
      if (batch % accumulate !== 0) continue;
      try {
        requireLegal(shape, { ...shardedExtents(problem.config), batch: batch / accumulate, context });
      } catch (error) {
        if (error instanceof UserError) continue;
        throw error;
      }
      for (const recompute of [false, true]) ways.push(await simulated(problem, { shape, accumulate, recompute }));
    }
  return ways;
}

const times = (value: number, factor: number) => ({ value: value * factor, origin: "estimate" as const });

/** A machine of another kind: devices and networks slower or faster by factors. */
function machine({
  compute,
  network,
  latency,
  node,
}: {
  compute: number;
  network: number;
  latency: number;
  node: number;
}): Profile {
  const profile = profileNamed("a100");
  const { device } = profile;
  const { f32 } = device.products;
  return {
    ...profile,
    device: {
      ...device,
      products: { ...device.products, f32: { ...f32, flopsPerSecond: times(1e11, compute) } },
      flopsPerSecond: times(1e11, compute),
      bytesPerSecond: times(1e10, compute),
    },
    network: profile.network.map((level, i) => ({
      ...level,
      devices: i === 0 ? node : undefined,
      latencySeconds: times(1e-5, latency),
      bytesPerSecond: times(i === 0 ? 1e9 : 1e8, network),
    })),
  };
}

const factor = fc.double({ min: -1.5, max: 1.5, noNaN: true }).map((exponent) => 10 ** exponent);

const problem = fc
  .record({
    layers: fc.integer({ min: 1, max: 3 }),
    heads: fc.constantFrom(2, 4, 6, 8),
    headWidth: fc.constantFrom(4, 8, 16),
    batch: fc.constantFrom(4, 6, 8, 12),
    context: fc.constantFrom(8, 16, 32),
    vocab: fc.integer({ min: 20, max: 600 }),
    devices: fc.constantFrom(1, 2, 4, 4, 8, 8, 9),
    llama: fc.boolean(),
    machine: fc.record({ compute: factor, network: factor, latency: factor, node: fc.constantFrom(2, 4) }),
    /** of what the ways take, from the least to the most: where the limit is */
    room: fc.double({ min: -0.25, max: 1.1, noNaN: true }),
  })
  .map((drawn) => {
    const { layers, heads, headWidth, batch, context, vocab, devices, llama, room } = drawn;
    const width = heads * headWidth;
    const config: ModelConfig = llama
      ? parseModelConfig({
          ...{ model_type: "llama", vocab_size: vocab, max_position_embeddings: context, hidden_size: width },
          ...{ intermediate_size: 3 * width, num_hidden_layers: layers },
          ...{ num_attention_heads: heads, num_key_value_heads: heads },
        })
      : parseModelConfig({
          ...{ model_type: "gpt2", vocab_size: vocab, n_positions: context, n_embd: width, n_layer: layers },
          n_head: heads,
        });
    const parameters: TrainParameters = parametersOf({ batch, context });
    const profile = machine(drawn.machine);
    return { config, parameters, batches: [batch], devices, profile, room };
  });

test(`${problems} random problems: the first choice is within 2% of the best that fits, and fits`, async () => {
  let [fitted, none, worst] = [0, 0, 0];
  await fc.assert(
    fc.asyncProperty(problem, async ({ room, ...given }) => {
      const ways = await everyWay({ ...given, memoryBytes: Number.POSITIVE_INFINITY });
      if (ways.length === 0) return;
      const sizes = ways.map(({ memoryBytes }) => memoryBytes);
      const [least, most] = [Math.min(...sizes), Math.max(...sizes)];
      const asked = { ...given, memoryBytes: Math.floor(least + room * (most - least)) };
      const fitting = ways.filter(({ memoryBytes }) => memoryBytes <= asked.memoryBytes);
      const { choices, refused } = await searchPlan(asked);
      if (fitting.length === 0) {
        assert.equal(choices, []);
        assert.is(Math.min(...refused.map(({ leastBytes = Number.POSITIVE_INFINITY }) => leastBytes)), least);
        none++;
        return;
      }
      const [first] = choices;
      assert.ok(first, `nothing is said to fit ${asked.memoryBytes} bytes, ${fitting.length} ways do`);
      const chosen = await simulated(asked, first);
      const best = fitting.reduce((a, b) => (b.seconds < a.seconds ? b : a));
      assert.ok(chosen.memoryBytes <= asked.memoryBytes, `${chosen.memoryBytes} bytes of ${asked.memoryBytes}`);
      worst = Math.max(worst, chosen.seconds / best.seconds - 1);
      assert.ok(
        chosen.seconds <= 1.02 * best.seconds,
        `${JSON.stringify(first)} takes ${chosen.seconds}, ${JSON.stringify(best)} is best`,
      );
      fitted++;
    }),
    { numRuns: problems, seed: 20261121 },
  );
  assert.ok(
    fitted > problems / 4 && (none > 0 || problems < 100),
    `${fitted} problems had an answer, ${none} had none`,
  );
  console.log(`the worst first choice was ${(100 * worst).toFixed(2)}% behind the best`);
});

test("7x7 and 8x8: the best's memory is that of the rank that holds most, whichever it is", async () => {
  for (const side of [7, 8]) {
    const config = parseModelConfig({
      ...{ model_type: "gpt2", vocab_size: 6000, n_positions: 8, n_embd: 8 * side, n_layer: 12, n_head: side },
    });
    const parameters: TrainParameters = parametersOf({ batch: side, context: 8 });
    const profile = profileNamed("a100");
    const problem = { config, parameters, batches: [side], devices: side ** 2, profile };
    const { choices } = await searchPlan({ ...problem, memoryBytes: 1e12 });
    const [best] = choices.filter(({ shape }) => shape.q === side);
    const { memoryBytes } = await simulated({ ...problem, memoryBytes: 1e12 }, best);
    const limit = memoryBytes - 1;
    const within = await searchPlan({ ...problem, memoryBytes: limit });
    const again = within.choices.map(({ shape, accumulate, recompute }) => [shape.dims, accumulate, recompute].join());
    assert.not.ok(again[0] === [best.shape.dims, best.accumulate, best.recompute].join(), "a byte too few");
  }
});

test.run();
