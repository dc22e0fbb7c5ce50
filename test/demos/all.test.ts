// All pages as a host serves them: what they weigh, how soon they show something, where their links lead, what a page without the
// headers of our own server does.

import { gzipSync } from "node:zlib";
import type { Response } from "playwright-core";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { pages, pathOf } from "../../demos/pages.mjs";
import { type Demo, openDemo } from "./demo.ts";

let demo: Demo;
test.before(async () => {
  demo = await openDemo();
});
test.after(() => demo?.close());

/** Gzipped bytes: what a page loads by itself, until a second has passed without a request. */
const limits = (name: string): number => (name === "start" ? 150_000 : 400_000);

for (const { name, title } of pages)
  test(`${name}: its weight, its requests, its title, back to the start page`, async () => {
    const { page, use, close } = await demo.open(undefined);
    const weights: Promise<number>[] = [];
    const weigh = (response: Response) => {
      weights.push(response.body().then((body) => gzipSync(body, { level: 9 }).length));
    };
    page.context().on("response", weigh);
    await use(async () => {
      await page.goto(`${demo.origin}/${pathOf(name)}`, { waitUntil: "networkidle" });
      await page.getByRole("heading", { level: 1, name: title }).waitFor();
      page.context().off("response", weigh);
      const weight = (await Promise.all(weights)).reduce((sum, bytes) => sum + bytes, 0);
      assert.ok(weight > 5000 && weight <= limits(name), `${name} loads ${weight} bytes, at most ${limits(name)}`);
      assert.ok((await page.title()).includes("shardgrad"));
      await page.getByRole("link", { name: "shardgrad", exact: true }).click();
      await page.getByRole("heading", { level: 1, name: "shardgrad" }).waitFor();
      assert.is(page.url(), `${demo.origin}/`);
    });
    await close();
  });

test("every link of the start page leads to its page, by keyboard", async () => {
  const { use, close } = await demo.open("");
  await use(async (page) => {
    for (const { name, title } of pages.slice(1)) {
      await page
        .getByRole("link")
        .filter({ has: page.getByRole("heading", { name: title, exact: true }) })
        .focus();
      await page.keyboard.press("Enter");
      await page.waitForURL(`${demo.origin}/${pathOf(name)}*`);
      await page.getByRole("heading", { level: 1, name: title }).waitFor();
      // A worker whose modules are still on their way would be told of as requests that failed, and so would a page's icon.
      await page.waitForLoadState("networkidle");
      await page.goBack();
      await page.getByRole("heading", { level: 1, name: "shardgrad" }).waitFor();
      await page.waitForLoadState("networkidle");
    }
  });
  await close();
});

test("the first key leads past the navigation", async () => {
  const { use, close } = await demo.open("");
  await use(async (page) => {
    await page.getByRole("link", { name: "Train a model" }).waitFor();
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    assert.is(await page.evaluate(() => document.activeElement?.textContent), "Train a model");
  });
  await close();
});

for (const { name, title } of pages)
  test(`${name}: on a host without headers it loads too`, async () => {
    const { use, close } = await demo.open(pathOf(name), { isolated: false });
    await use(async (page) => {
      await page.getByRole("heading", { level: 1, name: title }).waitFor();
      assert.is(await page.evaluate(() => crossOriginIsolated), false);
    });
    await close();
  });

test.run();
