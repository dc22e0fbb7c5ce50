// The Train page as a person uses it: a run is started, watched, held, steered and gone on with; its numbers are those of the same run in
// Node.

import type { Page } from "playwright-core";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseModelConfig } from "../../src/index.ts";
import { meshShape, requireLegal, shardedExtents } from "../../src/parallel.ts";
import { learningRateAt } from "../../src/train/schedule.ts";
import { type Demo, openDemo } from "./demo.ts";
import { address, inNode, paste, pause, startButton, stepOf, text } from "./train-page.ts";

let demo: Demo;
test.before(async () => {
  demo = await openDemo("start", "train");
});
test.after(() => demo?.close());

const figure = (page: Page, name: string) =>
  page
    .locator("dl div")
    .filter({ has: page.locator("dt", { hasText: name }) })
    .locator("dd");

test("a text is pasted, trained on and sampled from: losses, traffic and sample are Node's", async () => {
  const { use, close } = await demo.open(address());
  const events = await inNode();
  await use(async (page) => {
    await paste(page, text);
    await page.getByText(`pasted text: ${text.length.toLocaleString("en-US")} characters`).waitFor();
    await startButton(page).click();
    await page.getByText("Done: 12 steps").waitFor();
    const done = events.flatMap((event) => (event.event === "done" ? [event] : []))[0];
    const steps = events.flatMap((event) => (event.event === "step" ? [event] : []));
    const evals = events.flatMap((event) => (event.event === "eval" ? [event] : []));
    const sample = events.flatMap((event) => (event.event === "sample" ? [event] : []))[0];
    assert.is(await figure(page, "loss, last batch").textContent(), steps[11].loss.toFixed(4));
    assert.is(await figure(page, "validation loss").textContent(), evals[evals.length - 1].validationLoss.toFixed(4));
    await page.getByText(`validation loss ${done.validationLoss.toFixed(4)}`).waitFor();
    assert.is(
      await page
        .getByLabel(/^Samples/)
        .locator("pre")
        .first()
        .textContent(),
      sample.text,
    );
    const bytes = steps[11].bytesReceived!.reduce((sum, each) => sum + each, 0);
    await page.getByText(`to the byte: ${bytes.toLocaleString("en-US")} bytes a step`).waitFor();
    const cell = page.getByRole("region", { name: "Bytes from rank to rank" }).locator("tbody td").first();
    assert.is(await cell.textContent(), "·");
  });
  await close();
});

test("a run is held and goes on; its learning rate is the one that was chosen", async () => {
  const steps = 4000;
  const { use, close } = await demo.open(address({ steps, rate: 0.001 }));
  await use(async (page) => {
    await paste(page, text);
    await startButton(page).click();
    await pause(page);
    const held = await stepOf(page);
    await page.waitForTimeout(300);
    assert.is(await stepOf(page), held);
    // A model that is held writes, without a step.
    await page.getByRole("button", { name: "Write now" }).click();
    await page.getByText(`after step ${held.toLocaleString("en-US")}`, { exact: true }).waitFor();
    assert.is(await stepOf(page), held);
    await page.getByLabel(/^Learning rate, times/).focus();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowRight");
    await page.getByText("× 4", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Go on" }).click();
    await page.waitForFunction((step) => document.querySelector("progress")!.value > step + 5, held);
    await page.getByRole("button", { name: "End here" }).click();
    await page.getByText("Ended at step").waitFor();
    const schedule = { learningRate: 0.001, minLearningRate: 0.0001, warmup: 50, steps };
    const rate = 4 * learningRateAt((await stepOf(page)) - 1, schedule);
    assert.is(await figure(page, "learning rate").textContent(), rate.toExponential(2));
  });
  await close();
});

test("ranks in workers of their own give the same figures", async () => {
  const { use, close } = await demo.open(address({ place: "workers", layout: "1d", ranks: 2, steps: 6 }));
  await use(async (page) => {
    await startButton(page).click();
    await page.getByText("Done: 6 steps").waitFor();
    await page.getByText("All 2 ranks received what the closed form says").waitFor();
    await page.getByText(/in each worker/).waitFor();
  });
  await close();
});

test("what does not fit is said in the library's words, and cannot be started", async () => {
  const { use, close } = await demo.open(address({ heads: 4, q: 3 }));
  await use(async (page) => {
    const config = parseModelConfig({
      ...{ model_type: "gpt2", vocab_size: 95, n_positions: 16, n_embd: 16, n_layer: 1, n_head: 4 },
    });
    let words = "";
    try {
      requireLegal(meshShape({ layout: "2d", dims: [3, 3] }), { ...shardedExtents(config), batch: 4, context: 16 });
    } catch (error) {
      words = (error as Error).message;
    }
    await page.getByRole("alert").filter({ hasText: words }).waitFor();
    assert.ok(words.startsWith("mesh 3x3"), words);
    assert.ok(await startButton(page).isDisabled());
    // What is changed within a second is one entry of the history.
    await page.waitForTimeout(1000);
    await page.getByLabel("One rank").check();
    await page.waitForFunction(() => !document.querySelector<HTMLButtonElement>("button.primary")!.disabled);
    assert.ok(page.url().includes("layout=serial"));
    await page.goBack();
    await page.getByRole("alert").waitFor();
    await page.reload();
    await page.getByRole("alert").filter({ hasText: words }).waitFor();
  });
  await close();
});

test("a text that is too short ends in a sentence", async () => {
  const { use, close } = await demo.open(address());
  await use(async (page) => {
    await page.getByRole("button", { name: "Paste a text" }).click();
    await page.getByLabel(/^Your text/).fill("aaaa");
    await page.getByRole("button", { name: "Use this text" }).click();
    await page.getByRole("alert").filter({ hasText: "need at least two" }).waitFor();
    await page.getByLabel(/^Your text/).fill("abcd");
    await page.getByRole("button", { name: "Use this text" }).click();
    await page.getByText("pasted text: 4 characters").waitFor();
    await startButton(page).click();
    await page.getByRole("alert").filter({ hasText: "use a longer text" }).waitFor();
  });
  await close();
});

test("by keyboard alone: started, held, its timeline explored", async () => {
  const { use, close } = await demo.open(address({ steps: 3000 }), { reducedMotion: "reduce" });
  await use(async (page) => {
    const reach = async (name: string) => {
      for (let presses = 0; presses < 80; presses++) {
        await page.keyboard.press("Tab");
        const words = await page.evaluate(() => {
          const { activeElement } = document;
          return activeElement?.getAttribute("aria-label") ?? activeElement?.textContent ?? "";
        });
        if (words.startsWith(name)) return;
      }
      throw new Error(`the Tab key never came to ${name}`);
    };
    await page.waitForFunction(() => document.querySelector<HTMLButtonElement>("button.primary")?.disabled === false);
    await reach("Train");
    // The navigation's link comes first.
    await reach("Train");
    await page.keyboard.press("Enter");
    await page.getByText("Training", { exact: true }).waitFor();
    await page.locator("canvas.timeline").waitFor();
    await reach("Timeline of 4 ranks");
    await page.keyboard.press("ArrowRight");
    await page.getByText(/^Rank 0 computes /).waitFor();
    await page.keyboard.press("ArrowDown");
    await page.getByText(/^Rank 0 sends .* to rank \d/).waitFor();
    const seen = page.locator(".seen");
    const whole = await seen.textContent();
    await page.keyboard.press("+");
    assert.is.not(await seen.textContent(), whole);
    await page.keyboard.press("0");
    assert.is(await seen.textContent(), whole);
    await page.locator("canvas.timeline").hover();
    await page.keyboard.down("Control");
    await page.mouse.wheel(0, -400);
    await page.keyboard.up("Control");
    await page.waitForFunction((all) => document.querySelector(".seen")!.textContent !== all, whole);
  });
  await close();
});

test("without WebGPU, on a host without headers: said so, and a smaller model on one thread of the processor", async () => {
  const { page, use, close } = await demo.open(undefined, { isolated: false });
  await use(async () => {
    await page.addInitScript(() => Reflect.deleteProperty(Navigator.prototype, "gpu"));
    await page.goto(`${demo.origin}/train/`);
    await page.getByText("This browser has no WebGPU").waitFor();
    assert.is(await page.getByLabel("Width").inputValue(), "64");
    assert.ok(page.url().includes("width=64"));
    await page.getByLabel("Steps", { exact: true }).fill("2");
    await page.keyboard.press("Tab");
    await startButton(page).click();
    await page.getByText("Done: 2 steps").waitFor();
    await page.getByText("All 8 ranks received what the closed form says").waitFor();
  });
  await close();
});

test.run();
