// When a run tunes: between steps, while every rank waits, and without a change to what is computed by the fixed kernels.

import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Backend } from "../../src/backend/backend.ts";
import { trainOnMesh } from "../../src/cluster/launch.ts";
import { meshShape, parseMesh } from "../../src/parallel/shape.ts";
import type { TrainEvent } from "../../src/train/events.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import * as toy from "../training/toy.ts";

/** The backend under test with a `tune` that takes its time; kernels that run meanwhile are counted, and all that ran before. */
async function watched() {
  const backend = await backendUnderTest();
  const seen = { tuned: [] as number[], runs: 0, during: 0 };
  let tuning = false;
  const own = {
    async tune() {
      seen.tuned.push(seen.runs);
      tuning = true;
      await new Promise((resolve) => setTimeout(resolve, 20));
      tuning = false;
    },
    run: (...call: Parameters<Backend["run"]>) => {
      seen.runs++;
      if (tuning) seen.during++;
      backend.run(...call);
    },
  };
  const device = new Proxy(backend, {
    get(target, key) {
      if (key in own) return own[key as keyof typeof own];
      const value: unknown = Reflect.get(target, key);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  return { seen, device };
}

const changes = { steps: 4, batch: 4, evalEvery: 2, sampleTokens: 3 };

async function run(mesh: string, backend: Backend): Promise<{ losses: number[]; events: TrainEvent[] }> {
  const shape = meshShape({ dims: mesh === "1" ? undefined : parseMesh(mesh) });
  const { llama: config, tokenizer, corpus } = toy;
  const events: TrainEvent[] = [];
  const parameters = { ...toy.parameters, ...changes };
  for await (const event of trainOnMesh({ backend, config, tokenizer, corpus, shape, parameters })) events.push(event);
  return { events, losses: events.flatMap((event) => (event.event === "step" ? [event.loss] : [])) };
}

for (const mesh of ["1", "2x2"])
  test(`on ${mesh === "1" ? "one rank" : mesh} a run tunes after each step, evaluation and token, and nobody computes meanwhile`, async () => {
    const { seen, device } = await watched();
    const { losses, events } = await run(mesh, device);
    assert.is(seen.during, 0);
    const pauses = events.filter(({ event }) => event === "step" || event === "token" || event === "eval");
    // The last evaluation of one rank is followed by no step that could gain.
    assert.ok(seen.tuned.length >= pauses.length - 1, `${seen.tuned.length} of ${pauses.length}`);
    // All of a step lies between two.
    const between = seen.tuned.slice(1).map((runs, i) => runs - seen.tuned[i]);
    assert.ok(Math.max(...between) > 40, `${between}`);
    assert.equal(losses, (await run(mesh, await backendUnderTest())).losses);
  });

test.after(closeBackend);
test.run();
