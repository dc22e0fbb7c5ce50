// A finished run of the Train page is looked at after a reload: what was shown of it is there, and it writes, is saved and forgotten.

import { readFile } from "node:fs/promises";
import type { Page } from "playwright-core";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { checkAccessible, checkFits, type Demo, openDemo, takePictures } from "./demo.ts";
import { address, keeps, paste, startButton, stepOf, text } from "./train-page.ts";

let demo: Demo;
test.before(async () => {
  demo = await openDemo("start", "train");
});
test.after(() => demo?.close());

const steps = 24;
const keptNotice = (page: Page) => page.getByText(`A finished run is kept in this browser: ${steps} steps`);
const samplesOf = (page: Page): Promise<string[]> =>
  page.getByRole("list", { name: "Samples, the newest first" }).locator("pre").allTextContents();

/** All that the page says of the run, but for the time that is left, which ends with it. */
async function shown(page: Page): Promise<unknown> {
  const names = await page.locator(".live .figures dt").allTextContents();
  const values = await page.locator(".live .figures dd").allTextContents();
  return {
    step: await stepOf(page),
    done: await page.getByText(/^Done: /).textContent(),
    figures: names.map((name, i) => [name, values[i]]),
    loss: await page.getByRole("img", { name: /^Loss against steps/ }).getAttribute("aria-label"),
    traffic: await page.getByRole("region", { name: "Bytes from rank to rank" }).textContent(),
    memory: await page.getByRole("region", { name: "Memory by rank and purpose" }).textContent(),
    samples: await samplesOf(page),
  };
}

/** Runs to its end, behind which the browser keeps its record. */
async function run(page: Page): Promise<void> {
  await paste(page, text);
  await startButton(page).click();
  await page.getByText(`Done: ${steps} steps`).waitFor();
  await page.getByRole("button", { name: "Train again" }).waitFor();
  await keeps(page, steps);
}

test("after a reload it says the same, and that it is one from before; it writes, and what it wrote stays too", async () => {
  const { use, close } = await demo.open(address({ steps, sampleEvery: 8 }));
  await use(async (page) => {
    await run(page);
    const before = await shown(page);
    await page.reload();
    await keptNotice(page).waitFor();
    await page.getByText("Below is what it left").waitFor();
    assert.equal(await shown(page), before);
    const had = await samplesOf(page);
    await page.getByRole("button", { name: "Write now" }).click();
    await page.waitForFunction((count) => document.querySelectorAll(".written pre").length > count, had.length);
    const written = await samplesOf(page);
    assert.equal(written.slice(1), had);
    const report = page.waitForEvent("download");
    await page.getByRole("button", { name: "Download a report" }).click();
    const html = await readFile(await (await report).path(), "utf8");
    assert.match(html, new RegExp(`${steps} of ${steps}`));
    await page.reload();
    await page.getByText("Below is what it left").waitFor();
    assert.equal(await samplesOf(page), written);
    for (const width of [360, 1920]) {
      await page.setViewportSize({ width, height: 900 });
      // Plots follow in a later frame.
      await page.waitForFunction(() =>
        [...document.querySelectorAll("canvas")].every((each) => each.clientWidth <= innerWidth),
      );
      await checkFits(page);
      await takePictures(page, "train-look");
    }
    await checkAccessible(page);
  });
  await close();
});

test("it goes on from there; forgotten, nothing of it is left; another one is trained in its place", async () => {
  const { use, close } = await demo.open(address({ steps }));
  await use(async (page) => {
    await run(page);
    await page.reload();
    await page.getByRole("button", { name: `Go on for ${steps} more` }).click();
    await page.getByText(`Done: ${2 * steps} steps, the last ${steps} in`).waitFor();
    await keeps(page, 2 * steps);
    await page.getByRole("button", { name: "Train again" }).waitFor();
    await page.reload();
    await page.getByText(`A finished run is kept in this browser: ${2 * steps} steps`).waitFor();
    assert.is(await stepOf(page), 2 * steps);
    await page.getByRole("button", { name: "Forget it" }).click();
    await page.getByText("What you will see").waitFor();
    await page.reload();
    await page.getByText("What you will see").waitFor();
    assert.is(await page.getByText("is kept in this browser").count(), 0);
  });
  await close();
});

test("while a run from before is looked at, another one is trained", async () => {
  const { use, close } = await demo.open(address({ steps }));
  await use(async (page) => {
    await run(page);
    await page.reload();
    await page.getByText("Below is what it left").waitFor();
    await page.getByLabel("Steps", { exact: true }).fill("5");
    await startButton(page).click();
    await page.getByText("Done: 5 steps").waitFor();
    await keeps(page, 5);
    assert.is(await page.getByText("Below is what it left").count(), 0);
  });
  await close();
});

/** Room for the run's checkpoint and text, and far from enough for a record that is made as long as `fillerBytes`. */
const [quotaBytes, fillerBytes] = [3_000_000, 20_000_000];

test("where the storage has no room for what is shown, the page says so, and the checkpoint is kept all the same", async () => {
  const { page, use, close, context } = await demo.open(undefined);
  await use(async () => {
    const session = await context.newCDPSession(page);
    await session.send("Storage.overrideQuotaForOrigin", { origin: demo.origin, quotaSize: quotaBytes });
    await page.goto(`${demo.origin}/${address({ steps })}`);
    await page.getByText("characters").first().waitFor();
    const engine = page.workers().find((worker) => worker.url().endsWith("/train/worker.js"))!;
    await engine.evaluate((length) => {
      const { put } = IDBObjectStore.prototype;
      IDBObjectStore.prototype.put = function (value, key) {
        const isRecord = Array.isArray(key) && key[0] === "record";
        return put.call(this, isRecord ? { ...value, filler: new Uint8Array(length) } : value, key);
      };
    }, fillerBytes);
    await run(page);
    await page.getByText("There was no room for all that is shown of this run").waitFor();
    await page.reload();
    await keptNotice(page).waitFor();
    await page.getByRole("button", { name: `Go on for ${steps} more` }).waitFor();
    await page.getByText("What you will see").waitFor();
    assert.is(await page.getByText("Below is what it left").count(), 0);
  });
  await close();
});

test.run();
