// Runs that are saved and go on from the file: with the same bits on the same mesh, with one rank's numbers on any other.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { workerRanks } from "../../src/cluster/workers.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import { gpt2, llama } from "../training/toy.ts";
import { asked, goesOnAlike, run, same, saved, shapeOf } from "./checkpoint-runs.ts";

for (const [layout, mesh, config] of [
  ["serial", undefined, gpt2],
  ["serial", undefined, llama],
  ["1d", "2", gpt2],
  ["1d-sp", "2", llama],
  ["2d", "2x2", gpt2],
  ["2.5d", "2x2x2", llama],
] as const)
  test(`${layout} ${mesh ?? ""}, ${config.model_type}: a run that is saved and resumed has the bits of one that is not`, () =>
    goesOnAlike({ shape: shapeOf(layout, mesh), config }));

test("saved on two ranks in workers, resumed in workers: the bits of ranks that share a device", async () => {
  const ranks = workerRanks({ backend: (await backendUnderTest()).name });
  const options = { shape: shapeOf("1d", "2"), config: gpt2 };
  const shared = await run(options, { at: [saved, asked.steps] });
  const apart = await run({ ...options, ranks }, { at: [saved] });
  assert.ok(same(apart.checkpoints[0].bytes, shared.checkpoints[0].bytes));
  const resumed = await run({ ...options, ranks, resume: apart.checkpoints[0].bytes }, { at: [asked.steps] });
  assert.ok(same(resumed.checkpoints[0].bytes, shared.checkpoints[1].bytes));
});

/** Sums over ranks round in another order than one rank's, as in launch.test.ts. */
const relativeLimit = 1e-5;

test("saved on 2.5d 2x2x2, resumed on one rank and on other layouts: nothing is lost on the way, and steps are the saved mesh's", async () => {
  const short = { ...asked, steps: saved };
  const deep = shapeOf("2.5d", "2x2x2");
  // Lavapipe takes a minute for either.
  const { name } = await backendUnderTest();
  for (const config of name === "cpu" ? [gpt2, llama] : [gpt2]) {
    const whole = await run({ shape: deep, config });
    const { bytes } = (await run({ shape: deep, config, parameters: short }, { at: [saved] })).checkpoints[0];
    for (const shape of [shapeOf("serial"), shapeOf("1d", "2"), shapeOf("1d-sp", "2"), shapeOf("2d", "2x2"), deep]) {
      // No step is left to take: what was loaded is saved.
      const through = await run({ shape, config, parameters: short, resume: bytes }, { at: [0] });
      assert.is(through.steps.length, 0);
      assert.ok(same(through.checkpoints[0].bytes, bytes), `${shape.layout}: what was loaded is not what was saved`);
      const { steps } = await run({ shape, config, resume: bytes });
      for (const { step, loss } of steps) {
        const wanted = whole.steps[step - 1].loss;
        assert.ok(
          Math.abs(loss / wanted - 1) < relativeLimit,
          `${shape.layout}, step ${step}: ${loss}, need ${wanted}`,
        );
      }
      assert.is(steps.length, asked.steps - saved);
    }
  }
});

test.after(closeBackend);
test.run();
