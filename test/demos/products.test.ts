// The Products page: its numbers against the library's own, its film by mouse and by keyboard, its views by address.

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import type { Locator, Page } from "playwright-core";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { count, seconds } from "../../demos/kit/format.ts";
import { formTexts } from "../../demos/products/words.ts";
import { type Backend, createBackend } from "../../src/index.ts";
import { type Form, measureProduct, meshShape, productReceived } from "../../src/parallel.ts";
import { profileNamed, simulateProduct } from "../../src/plan.ts";
import { checkAccessible, checkFits, type Demo, type DemoPage, openDemo, takePictures } from "./demo.ts";

let demo: Demo;
let backend: Backend;
test.before(async () => {
  demo = await openDemo("start", "products");
  ({ backend } = await createBackend({ backend: "cpu", threads: 1, tune: false }));
});
test.after(async () => {
  backend?.dispose();
  await demo?.close();
});

/** Sizes that divide over no mesh. */
const size = { m: 21, n: 10, k: 17 };
const sizeQuery = "m=21&n=10&k=17";

const caption = (page: Page) => page.getByLabel("This step; space plays, arrow keys step");
const textOf = async (place: Locator): Promise<string> => (await place.textContent()) ?? "";
const scrub = (page: Page) => page.getByRole("slider", { name: "Step" });
const step = async (page: Page): Promise<number> => Number(await scrub(page).inputValue());
const lastStep = async (page: Page): Promise<number> => Number(await scrub(page).getAttribute("max"));
/** A number under its name. */
const figure = (page: Page, name: string | RegExp) =>
  page
    .locator("dl div", { has: page.getByText(name) })
    .locator("dd")
    .textContent();

/** One page for all products: what it shows follows what is chosen. */
let watching: DemoPage | undefined;
const watch = async (): Promise<DemoPage> => (watching ??= await demo.open(`products/?${sizeQuery}`));

const setSlider = (page: Page, name: RegExp, value: number) => page.getByRole("slider", { name }).fill(String(value));

async function choose(page: Page, { dims, form }: { dims: readonly number[]; form: Form }): Promise<void> {
  const layout = ["1D", "2D", "2.5D"][dims.length - 1];
  await page.getByRole("radio", { name: layout, exact: true }).check();
  if (dims.length === 1) await setSlider(page, /^Ranks/, dims[0]);
  else await setSlider(page, /^q,/, dims[0]);
  if (dims.length === 3) await setSlider(page, /^d,/, dims[2]);
  const text = formTexts[form].text;
  await page.getByRole("radio", { name: text, exact: true }).check();
  await page.getByText(`multiplied ${text} on ${layout} ${dims.join("×")} in this page`).waitFor();
}

const products: { dims: number[]; form: Form }[] = [
  { dims: [2, 2, 2], form: "AB" },
  { dims: [2, 2, 2], form: "ATB" },
  { dims: [3, 3], form: "ABT" },
  { dims: [3, 3], form: "ATB" },
  { dims: [5], form: "AB" },
  { dims: [5], form: "ABT" },
];

for (const { dims, form } of products)
  test(`${form} on ${dims.join("x")}: words, bounds and errors are the library's, and the film shows every word`, async () => {
    const { use } = await watch();
    await use(async (page) => {
      await choose(page, { dims, form });
      const mesh = meshShape({ dims });
      const closed = Array.from({ length: mesh.size }, (_, rank) => productReceived({ mesh, rank, form, size }).words);
      const run = { shape: mesh, form, size, repeats: 1, seed: 1, maxBytes: 1e9 };
      const { lowerBoundWords, replicationWords, score, error } = await measureProduct({ backend }, run);
      assert.is(await figure(page, "Words to the busiest rank"), count(Math.max(...closed)));
      assert.is(await figure(page, "Closed form"), count(Math.max(...closed)));
      assert.is(await figure(page, "Lower bound, on some rank"), count(lowerBoundWords));
      assert.is(await figure(page, /^Times the bound/), score?.toFixed(2));
      // What is compared with the bound stands beside it.
      const compared = Math.max(...closed) + replicationWords;
      if (replicationWords > 0) assert.is(await figure(page, /^With its copy of B/), count(compared));
      assert.is((compared / lowerBoundWords).toFixed(2), score?.toFixed(2));
      // The same kernels, whoever runs them.
      assert.is(await figure(page, /^Largest error/), error.worst.toPrecision(2));
      await page.getByText("Every rank's words equal the closed form").waitFor();
      let words = 0;
      const last = await lastStep(page);
      for (let at = 0; at <= last; at++) {
        await scrub(page).fill(String(at));
        const told = /([\d,]+) words in all/.exec(await textOf(caption(page)))?.[1] ?? "0";
        words += Number(told.replaceAll(",", ""));
      }
      assert.is(
        words,
        closed.reduce((sum, each) => sum + each),
      );
      // At the end every rank has all of its block of C.
      const table = page.getByLabel("What each rank holds, a table");
      if (!(await table.isVisible())) await page.getByText("What each rank holds, as a table").click();
      assert.equal(await table.locator("tr td:last-child").allTextContents(), new Array(mesh.size).fill("100%"));
    });
  });

test("by keyboard: steps, plays, and moves from block to block, each told in words", async () => {
  const { use, close } = await demo.open(`products/?layout=2d&q=2&${sizeQuery}`, { reducedMotion: "reduce" });
  await use(async (page) => {
    await caption(page).focus();
    assert.is(await step(page), 0);
    await page.keyboard.press("ArrowRight");
    assert.is(await step(page), 1);
    await page.keyboard.press("End");
    assert.is(await step(page), await lastStep(page));
    await page.keyboard.press("ArrowLeft");
    assert.is(await step(page), (await lastStep(page)) - 1);
    await page.keyboard.press("Home");
    assert.is(await step(page), 0);
    // Less motion: frames follow each other, and nothing moves in between.
    await page.evaluate(() => {
      const moved = () => document.querySelector(".movers") !== null;
      const seen = window as unknown as { moved: boolean };
      seen.moved = moved();
      new MutationObserver(() => (seen.moved ||= moved())).observe(document.body, { childList: true, subtree: true });
    });
    await page.getByLabel("Speed").selectOption("4");
    await caption(page).focus();
    await page.keyboard.press(" ");
    await page.getByRole("button", { name: "Pause" }).waitFor();
    await page.getByRole("button", { name: "Play" }).waitFor();
    assert.is(await step(page), await lastStep(page));
    assert.not(await page.evaluate(() => (window as unknown as { moved: boolean }).moved));

    const words = page.locator(".pointed-words");
    await page.getByRole("gridcell", { name: /^B\(0,0\)/ }).focus();
    await page.keyboard.press("ArrowDown");
    // k = 17 is padded to 18, n is 10: blocks of 9 x 5.
    assert.match(await textOf(words), /B\(1,0\): rows 9 to 17, the last 1 of them padding, columns 0 to 4; 45 words/);
    assert.match(await textOf(words), /Lives on rank 2 \(row 1, column 0\)/);
    assert.match(await textOf(words), /At t = 1 it is sent down its column, to rank 0\./);
    await page.keyboard.press("ArrowRight");
    assert.match(await textOf(words), /B\(1,1\)/);
    assert.is(await step(page), await lastStep(page), "arrow keys of blocks are not the film's");
    assert.is((await page.locator(".tile.pointed").count()) > 0, true);
  });
  await close();
});

test("from a server that does not isolate pages, on one thread: a step by hand moves blocks, and arrives", async () => {
  const { use, close } = await demo.open(`products/?layout=2d&q=2&${sizeQuery}&speed=2`, { isolated: false });
  await use(async (page) => {
    await page.getByText("One thread").waitFor();
    await page.getByRole("button", { name: "Step" }).click();
    await page.locator(".movers").waitFor();
    assert.is(await page.locator(".movers > g").count(), 4);
    await page.locator(".movers").waitFor({ state: "detached" });
    assert.is(await step(page), 1);
  });
  await close();
});

test("the address keeps the view: reload, back button, what it says of no value", async () => {
  const { use, close } = await demo.open(`products/?layout=2d&q=3&form=ATB&${sizeQuery}&step=4&d=oops`);
  await use(async (page) => {
    const layout = (name: string) => page.getByRole("radio", { name, exact: true });
    const nine = page.getByText("9 ranks multiplied Aᵀ B on 2D 3×3 in this page");
    await nine.waitFor();
    assert.ok(await layout("2D").isChecked());
    assert.is(await step(page), 4);
    await page.reload();
    await nine.waitFor();
    assert.is(await step(page), 4);
    assert.is(await page.getByLabel("k, summed").inputValue(), "17");
    await page.waitForTimeout(1100);
    await layout("1D").check();
    await page.getByText("8 ranks multiplied Aᵀ B on 1D 8 in this page").waitFor();
    await page.goBack();
    await nine.waitFor();
    assert.ok(await layout("2D").isChecked());
  });
  await close();
});

test("few rows on many planes keep their names; a size that is none is told, and the last good one stays", async () => {
  const { use, close } = await demo.open("products/?layout=2.5d&q=2&d=2&m=7&n=10&k=17");
  await use(async (page) => {
    const multiplied = page.getByText("multiplied A B on 2.5D 2×2×2 in this page");
    await multiplied.waitFor();
    const named = () => page.getByRole("gridcell", { name: /^A\(/ }).allTextContents();
    const names = ["0,0", "0,1", "1,0", "1,1", "2,0", "2,1", "3,0", "3,1"];
    assert.equal(await named(), names);
    const field = page.getByLabel("m, rows");
    await field.fill("2048");
    await field.press("Enter");
    const alert = page.getByRole("alert");
    assert.is(await textOf(alert), "Got 2048, need a whole number from 1 to 512.");
    assert.equal(await named(), names);
    assert.match(page.url(), /[?&]m=7(&|$)/);
    for (const width of [360, 1920]) {
      await page.setViewportSize({ width, height: 900 });
      await checkFits(page);
    }
    await field.fill("8");
    await alert.waitFor({ state: "detached" });
    await page.waitForURL(/[?&]m=8(&|$)/);
    await multiplied.waitFor();
  });
  await close();
});

test("a race: its table is what the library simulates, in the order of arrival; half-way not all are done", async () => {
  const of = { m: 1024, n: 512, k: 2048 };
  const query = "view=race&devices=16&rows=1024&columns=512&inner=2048&profile=h100";
  const { use, close } = await demo.open(`products/?${query}`);
  await use(async (page) => {
    const rows = page.getByLabel("The race in numbers, a table").locator("tbody tr");
    await rows.first().waitFor();
    const wanted = [];
    for (const dims of [[16], [4, 4], [2, 2, 4]]) {
      const shape = meshShape({ dims });
      const simulated = await simulateProduct({ shape, form: "AB", size: of, profile: profileNamed("h100") });
      wanted.push({
        name: `${shape.layout.toUpperCase()} ${dims.join("×")}`,
        seconds: simulated.seconds,
        words: Math.max(...simulated.wordsReceived),
      });
    }
    wanted.sort((one, other) => one.seconds - other.seconds);
    const shown = await rows.evaluateAll((all) =>
      all.map((row) => [...row.children].map(({ textContent }) => textContent)),
    );
    assert.equal(
      shown.map((cells) => [cells[0], cells[2], cells[5]]),
      wanted.map((racer) => [racer.name, seconds(racer.seconds), count(racer.words)]),
    );
    assert.ok((await textOf(page.locator(".why"))).startsWith(wanted.map(({ name }) => name).join(", then ")));
    assert.is(await page.getByText("under way").count(), 0);
    assert.is(await page.getByText("100% of its products").count(), 3);
    await page.getByText("on 16 devices: NVIDIA H100 80 GB").waitFor();
    const device = page.getByLabel("Device of each rank").locator("option:checked");
    assert.is(await textOf(device), "NVIDIA H100 80 GB");
    await page.getByRole("slider", { name: "Simulated time" }).fill("0");
    assert.is(await page.getByText("0% of its products").count(), 3);
    assert.is(await page.getByText("under way").count(), 3);
    await page.getByRole("button", { name: "Race" }).click();
    await page.getByRole("button", { name: "Pause" }).click();
    await page.getByRole("button", { name: "Race" }).waitFor();
  });
  await close();
});

test("a device that there is not is refused in a sentence", async () => {
  const { use, close } = await demo.open("products/?view=race&profile=abacus");
  await use(async (page) => {
    const alert = page.getByRole("alert");
    await alert.waitFor();
    assert.match(await textOf(alert), /abacus/);
    await page.getByLabel("Device of each rank").selectOption("h100");
    await page.getByLabel("The race in numbers, a table").waitFor();
    assert.is(await alert.count(), 0);
  });
  await close();
});

test("both views fit 360 and 1920 px, in light and dark, and axe has nothing to say", async () => {
  const narrow = { width: 360, height: 900 };
  const wide = { width: 1920, height: 900 };
  const { use, close } = await demo.open("products/?layout=1d&ranks=16&m=1&n=2&k=1", { viewport: wide });
  await use(async (page) => {
    // Hardly anything but padding.
    await page.getByText("multiplied A B on 1D 16 in this page").waitFor();
    await checkFits(page);
    await page.goto(`${demo.origin}/products/?layout=2.5d&q=2&d=2&step=1`);
    await page.getByText("multiplied A B on 2.5D 2×2×2 in this page").waitFor();
    await page.getByRole("gridcell", { name: /^A\(1,0\)/ }).focus();
    for (const viewport of [wide, narrow]) {
      await page.setViewportSize(viewport);
      await checkFits(page);
      await takePictures(page, "products");
    }
    await checkAccessible(page);
    await page.getByRole("radio", { name: "Meshes in a race" }).check();
    await page.getByLabel("The race in numbers, a table").waitFor();
    for (const viewport of [narrow, wide]) {
      await page.setViewportSize(viewport);
      await checkFits(page);
      await takePictures(page, "products-race");
    }
    await checkAccessible(page);
  });
  await close();
});

test("all that the page loads, worker and simulator included, is under 400 KB gzipped", async () => {
  const { context, use, close } = await demo.open(undefined);
  await use(async (page) => {
    const loaded = new Set<string>();
    context.on("response", (response) => loaded.add(new URL(response.url()).pathname));
    await page.goto(`${demo.origin}/products/?${sizeQuery}`);
    await page.getByRole("heading", { name: "What came of it" }).waitFor();
    await page.getByRole("radio", { name: "Meshes in a race" }).check();
    await page.getByLabel("The race in numbers, a table").waitFor();
    const paths = [...loaded].filter((path) => path.startsWith("/"));
    for (const needed of [/\/products\/worker\.js$/, /\/plan-\w+\.js$/, /\/page\.css$/])
      assert.ok(
        paths.some((path) => needed.test(path)),
        `${needed} in ${paths.join(" ")}`,
      );
    const bytes = paths
      .map((path) => gzipSync(readFileSync(`${demo.folder}${path.endsWith("/") ? `${path}index.html` : path}`)).length)
      .reduce((sum, each) => sum + each);
    assert.ok(bytes > 100_000 && bytes < 400_000, `${bytes} bytes gzipped`);
  });
  await close();
});

test.run();
