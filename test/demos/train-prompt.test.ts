// Samples of the visitor's own on the Train page: what they begin with, how daring they are, while the run goes, holds or is over.

import type { Page } from "playwright-core";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { checkAccessible, checkFits, type Demo, openDemo, takePictures } from "./demo.ts";
import { address, paste, pause, startButton, stepOf, text } from "./train-page.ts";

let demo: Demo;
test.before(async () => {
  demo = await openDemo("start", "train");
});
test.after(() => demo?.close());

const samples = (page: Page) => page.getByRole("list", { name: "Samples, the newest first" }).getByRole("listitem");

/** What is written next. */
async function write(page: Page): Promise<string> {
  const had = await samples(page).count();
  await page.getByRole("button", { name: "Write now" }).press("Enter");
  await page.waitForFunction((count) => document.querySelectorAll(".written li").length > count, had);
  await page.getByRole("button", { name: "Write now" }).and(page.locator(":enabled")).waitFor();
  return (await samples(page).first().locator("pre").textContent())!;
}

const prompt = "The mesh, and then ";

test("a run that is held writes on from the prompt; at temperature 0 the same each time, and as said", async () => {
  const { use, close } = await demo.open(address({ steps: 5000 }), { viewport: { width: 360, height: 900 } });
  await use(async (page) => {
    await paste(page, text);
    await startButton(page).click();
    await pause(page);
    const held = await stepOf(page);
    await page.getByLabel("Begins with").fill(prompt);
    const first = await write(page);
    assert.ok(first.startsWith(prompt) && first.length > prompt.length + 100, first);
    assert.is.not(await write(page), first);
    await page.getByLabel(/^Temperature/).fill("0");
    const likeliest = await write(page);
    assert.ok(likeliest.startsWith(prompt));
    assert.is(await write(page), likeliest);
    const caption = samples(page).first().locator("p");
    assert.is(await caption.textContent(), `after step ${held.toLocaleString("en-US")}, at temperature 0.0`);
    assert.is(await stepOf(page), held);
    await checkFits(page);
    const [field, slider] = [page.getByLabel("Begins with"), page.getByLabel(/^Temperature/)];
    for (const width of [1920, 1400, 800, 360]) {
      await page.setViewportSize({ width, height: 900 });
      const [one, other] = [(await field.boundingBox())!, (await slider.boundingBox())!];
      assert.ok(one.x + one.width <= other.x || one.y + one.height <= other.y, `they overlap at ${width} px`);
    }
    await takePictures(page, "train-prompt");
    await checkAccessible(page);
    await page.getByLabel("Begins with").fill("Ünknöwn");
    await page.getByRole("button", { name: "Write now" }).click();
    await page
      .getByRole("alert")
      .filter({ hasText: "Nothing could be written" })
      .getByText("need one of the")
      .waitFor();
    await page.getByRole("button", { name: "End here" }).click();
    await page.getByText("Ended at step").waitFor();
    await page.getByLabel("Begins with").fill(prompt);
    assert.ok((await write(page)).startsWith(prompt));
  });
  await close();
});

test("while a run goes, it goes on beside the writing", async () => {
  const { use, close } = await demo.open(address({ steps: 5000 }));
  await use(async (page) => {
    await paste(page, text);
    await startButton(page).click();
    await page.getByLabel("Begins with").fill(prompt);
    await page.waitForFunction(() => document.querySelector("progress")!.value > 2);
    assert.ok((await write(page)).startsWith(prompt));
    const before = await stepOf(page);
    await page.waitForFunction((step) => document.querySelector("progress")!.value > step, before);
  });
  await close();
});

test.run();
