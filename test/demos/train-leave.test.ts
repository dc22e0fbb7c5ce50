// Leaving the Train page: runs in several tabs, a run of a second, and one that is through.

import type { Page } from "playwright-core";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Demo, openDemo } from "./demo.ts";
import { address, keeps, pause, startButton, stepOf } from "./train-page.ts";

let demo: Demo;
test.before(async () => {
  demo = await openDemo("start", "train");
});
test.after(() => demo?.close());

test("two tabs keep a run each, each is offered its own, and none that another has under way", async () => {
  const { use, close, context } = await demo.open(address({ steps: 5000 }));
  await use(async (page) => {
    const heldAt = async (tab: Page): Promise<number> => {
      await startButton(tab).click();
      await pause(tab);
      await keeps(tab, await stepOf(tab));
      return stepOf(tab);
    };
    const newTab = async (): Promise<Page> => {
      const tab = await context.newPage();
      await tab.goto(page.url().replace("steps=5000", "steps=6000"));
      // By then its worker has answered what is kept, too.
      await tab.waitForFunction(() => document.querySelector<HTMLButtonElement>("button.primary")?.disabled === false);
      return tab;
    };
    const first = await heldAt(page);
    const other = await newTab();
    assert.is(await other.getByText("A run is kept").count(), 0);
    const second = await heldAt(other);
    await page.reload();
    await page.getByText(`A run is kept in this browser: step ${first} of 5,000`).waitFor();
    await other.reload();
    await other.getByText(`A run is kept in this browser: step ${second} of 6,000`).waitFor();
    // What one goes on with does not overwrite the other's.
    await page.getByRole("button", { name: `Go on from step ${first}` }).click();
    await pause(page);
    assert.ok((await stepOf(page)) >= first);
    await keeps(page, await stepOf(page));
    await other.reload();
    await other.getByText(`A run is kept in this browser: step ${second} of 6,000`).waitFor();
    await other.close();
  });
  await close();
});

test("a run is kept soon; until then leaving is asked about, and a run that is through is offered as one", async () => {
  const { use, close } = await demo.open(address({ steps: 300 }));
  await use(async (page) => {
    const asks = () => page.evaluate(() => !window.dispatchEvent(new Event("beforeunload", { cancelable: true })));
    await page.waitForFunction(() => document.querySelector<HTMLButtonElement>("button.primary")?.disabled === false);
    assert.is(await asks(), false);
    // In one turn of the page: no step can come in between.
    const asked = await page.evaluate(() => {
      document.querySelector<HTMLButtonElement>("button.primary")!.click();
      return !window.dispatchEvent(new Event("beforeunload", { cancelable: true }));
    });
    assert.is(asked, true);
    await page.getByText("Done: 300 steps").waitFor();
    await keeps(page, 300);
    assert.is(await asks(), false);
    await page.reload();
    await page.getByText("A finished run is kept in this browser: 300 steps").waitFor();
    await page.getByRole("button", { name: "Go on for 300 more" }).waitFor();
  });
  await close();
});

test("when a run is through its model writes; each time something else", async () => {
  const { use, close } = await demo.open(address({ steps: 20, sampleEvery: 0 }));
  await use(async (page) => {
    await startButton(page).click();
    await page.getByText("Done: 20 steps").waitFor();
    const texts = page.getByLabel(/^Samples/).locator("pre");
    const before = await texts.count();
    for (const times of [1, 2]) {
      await page.getByRole("button", { name: "Write now" }).click();
      await page.waitForFunction((so) => document.querySelectorAll(".written pre").length === so, before + times);
    }
    const [last, first] = await texts.allTextContents();
    assert.ok(first.length > 100, `wrote ${first.length} characters`);
    assert.is.not(last, first);
  });
  await close();
});

test.run();
