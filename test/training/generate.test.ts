// Sampling: its filters on known distributions, and the same text with a cache as without.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Model } from "../../src/nn/model.ts";
import { Serial } from "../../src/parallel/serial.ts";
import { type GenerateOptions, generate, sampleToken } from "../../src/train/generate.ts";
import { availableType } from "../../src/train/precision.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import { context, gpt2, llama } from "./toy.ts";

const prompt = Int32Array.from([3, 1, 4]);

async function tokensOf(model: Model, options: Partial<GenerateOptions>): Promise<number[]> {
  const all = { prompt, tokens: 3 * context, temperature: 1, topK: 0, topP: 1, seed: 5, ...options };
  const tokens: number[] = [];
  for await (const token of generate(model, all)) tokens.push(token);
  return tokens;
}

for (const [config, asked] of [
  [gpt2, "f32"],
  [gpt2, "f16"],
  [llama, "f32"],
  [llama, "f16"],
] as const)
  test(`${config.model_type}, ${asked} where there is: a key-value cache gives the text that recomputing gives, past the model's positions too`, async () => {
    const backend = await backendUnderTest();
    {
      const { dtype } = availableType(backend, asked);
      using model = new Model(backend, { config, layout: new Serial(backend), seed: 2, dtype });
      for (const options of [{}, { temperature: 0 }, { temperature: 0.7, topK: 5, topP: 0.9 }]) {
        const cached = await tokensOf(model, options);
        assert.is(cached.length, 3 * context);
        assert.equal(cached, await tokensOf(model, { ...options, cache: false }));
      }
      const one = await tokensOf(model, {});
      assert.not.equal(await tokensOf(model, { seed: 6 }), one);
    }
    assert.is(backend.memory.total, 0, "nothing is left allocated");
  });

test("a consumer that stops early frees the cache", async () => {
  const backend = await backendUnderTest();
  {
    using model = new Model(backend, { config: gpt2, layout: new Serial(backend), seed: 2 });
    for await (const _ of generate(model, { prompt, tokens: 9, temperature: 1, topK: 0, topP: 1, seed: 1 })) break;
  }
  assert.is(backend.memory.total, 0);
});

const logits = Float32Array.from([0.1, 0.4, 0.2, 0.3].map(Math.log));
const share = (token: number, options: Partial<Parameters<typeof sampleToken>[1]>) => {
  let hits = 0;
  for (let i = 0; i < 10000; i++)
    if (sampleToken(logits, { temperature: 1, topK: 0, topP: 1, draw: (i + 0.5) / 10000, ...options }) === token)
      hits++;
  return hits / 10000;
};
const near = (got: number, wanted: number) => assert.ok(Math.abs(got - wanted) < 2e-4, `${got} instead of ${wanted}`);

test("plain sampling has the softmax's probabilities", () => {
  for (const [token, p] of [0.1, 0.4, 0.2, 0.3].entries()) near(share(token, {}), p);
});

test("temperature 0 takes the likeliest token, temperature 1/2 squares the odds", () => {
  near(share(1, { temperature: 0 }), 1);
  near(share(1, { temperature: 0.5 }), 0.16 / 0.3);
});

test("top-k keeps the k likeliest, top-p the fewest that reach p", () => {
  near(share(1, { topK: 2 }), 4 / 7);
  near(share(2, { topK: 2 }), 0);
  near(share(1, { topP: 0.6 }), 4 / 7);
  near(share(1, { topP: 0.39 }), 1);
  near(share(2, { topP: 0.8 }), 2 / 9);
  near(share(0, { topP: 0.8 }), 0);
});

test("options out of range and an empty prompt are refused in a sentence", async () => {
  const backend = await backendUnderTest();
  using model = new Model(backend, { config: gpt2, layout: new Serial(backend), seed: 2 });
  const refused = (options: Partial<GenerateOptions>) =>
    tokensOf(model, options).then(
      () => "taken",
      (e: Error) => `${e.name}: ${e.message}`,
    );
  assert.match(await refused({ temperature: -1 }), /^UserError: temperature: got -1/);
  assert.match(await refused({ temperature: Number.NaN }), /^UserError: temperature: got NaN/);
  assert.match(await refused({ topK: 1.5 }), /^UserError: top-k: got 1\.5/);
  assert.match(await refused({ topP: 0 }), /^UserError: top-p: got 0/);
  assert.match(await refused({ prompt: new Int32Array(0) }), /^UserError: the prompt is empty/);
});

test.after(closeBackend);
test.run();
