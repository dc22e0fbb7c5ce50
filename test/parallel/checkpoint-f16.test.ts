// Saved runs whose numbers depend on the device: in f16 where it has that, over wires of f16, and from one type to another.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { readCheckpoint } from "../../src/train/checkpoint.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import { gpt2, tokenizer } from "../training/toy.ts";
import { asked, goesOnAlike, run, saved, shapeOf } from "./checkpoint-runs.ts";

for (const [layout, mesh, type] of [
  ["serial", undefined, "dtype"],
  ["2.5d", "2x2x2", "dtype"],
  ["2d", "2x2", "wire"],
] as const)
  test(`${layout} ${mesh ?? ""}, ${type} of f16: the same, after steps that the loss scale skipped`, async () => {
    const { adapter } = await backendUnderTest();
    const half = type === "wire" || adapter.features.includes("shader-f16");
    const changes = { ...asked, [type]: "f16" as const, lossScale: 2 ** 24 };
    const options = { shape: shapeOf(layout, mesh), config: gpt2, parameters: changes };
    const { steps, start } = await run(options);
    assert.is(start.dtype, type === "dtype" && half ? "f16" : "f32");
    assert.is(steps[0].skipped, half ? true : undefined, "the first step did not overflow: its updates are its steps");
    await goesOnAlike(options);
  });

test("a checkpoint says what it is of, and goes on with more steps, another batch and another type", async () => {
  for (const [type, other] of [
    ["f32", "f16"],
    ["f16", "f32"],
  ] as const) {
    const options = { shape: shapeOf("2d", "2x2"), config: gpt2, parameters: { ...asked, dtype: type } };
    const [{ bytes }] = (await run(options, { at: [saved] })).checkpoints;
    const head = readCheckpoint(bytes);
    assert.equal(head.config, gpt2);
    assert.equal(head.parameters, options.parameters);
    assert.is(head.step, saved);
    assert.equal(head.tokenizer.toJSON(), tokenizer.toJSON());
    const longer = { ...head.parameters, steps: 7, batch: 8, dtype: other };
    const { steps } = await run({ shape: shapeOf("serial"), config: head.config, parameters: longer, resume: bytes });
    assert.equal(
      steps.map(({ step }) => step),
      [3, 4, 5, 6, 7],
    );
    const fresh = await run({ shape: shapeOf("serial"), config: gpt2, parameters: { ...longer, steps: 3 } });
    // It has learned something already.
    assert.ok(steps[0].loss < fresh.steps[0].loss, `${steps[0].loss}, fresh ${fresh.steps[0].loss}`);
  }
});

test.after(closeBackend);
test.run();
