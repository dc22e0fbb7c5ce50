// What is wider than its place says so: a shadow at the edge behind which there is more, in light and dark, and nowhere else.

import type { Locator, Page } from "playwright-core";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { checkAccessible, checkFits, type Demo, openDemo, takePictures } from "./demo.ts";
import { address, startButton } from "./train-page.ts";

let demo: Demo;
test.before(async () => {
  demo = await openDemo("start", "products", "train");
});
test.after(() => demo?.close());

/** How far the outermost pixels at left and right are from what is inside, in 255ths: of each column the median, since words and lines are
 *  the smaller part of it. */
async function shadows(page: Page, region: Locator): Promise<{ left: number; right: number }> {
  const picture = (await region.screenshot()).toString("base64");
  return page.evaluate(async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const context = new OffscreenCanvas(image.width, image.height).getContext("2d", { willReadFrequently: true })!;
    context.drawImage(image, 0, 0);
    const median = (x: number) => {
      const { data } = context.getImageData(x, 0, 1, image.height);
      const greys = Array.from({ length: image.height }, (_, y) => data[4 * y] + data[4 * y + 1] + data[4 * y + 2]);
      return greys.toSorted((a, b) => a - b)[image.height >> 1] / 3;
    };
    const beneath = getComputedStyle(document.querySelector(".panel")!).backgroundColor;
    const [red, green, blue] = beneath.match(/[\d.]+/g)!.map(Number);
    const inside = (red + green + blue) / 3;
    return { left: Math.abs(median(1) - inside), right: Math.abs(median(image.width - 2) - inside) };
  }, picture);
}

/** Of 255ths: seen at a glance, and not at all. */
const [seen, unseen] = [25, 3];

async function checkHints(page: Page, region: Locator): Promise<void> {
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    const scrollTo = (share: number) =>
      region.evaluate((element, at) => {
        (document.activeElement as HTMLElement).blur();
        element.scrollLeft = at * (element.scrollWidth - element.clientWidth);
      }, share);
    await scrollTo(0);
    const start = await shadows(page, region);
    assert.ok(start.left < unseen && start.right > seen, `${colorScheme}, at the start: ${JSON.stringify(start)}`);
    await scrollTo(0.5);
    const middle = await shadows(page, region);
    assert.ok(middle.left > seen && middle.right > seen, `${colorScheme}, in the middle: ${JSON.stringify(middle)}`);
    await scrollTo(1);
    const end = await shadows(page, region);
    assert.ok(end.left > seen && end.right < unseen, `${colorScheme}, at the end: ${JSON.stringify(end)}`);
    await scrollTo(0);
  }
}

test("Products at 360 px: a race's table is scrolled by keyboard, and shadows say where it goes on; one that fits has none", async () => {
  const { use, close } = await demo.open("products/?view=race&devices=4", { viewport: { width: 360, height: 900 } });
  await use(async (page) => {
    const region = page.getByRole("region", { name: "The race in numbers, a table" });
    await region.waitFor();
    await checkHints(page, region);
    await takePictures(page, "scrolling-products");
    await region.focus();
    await page.keyboard.press("ArrowRight");
    await page.waitForFunction(() => document.querySelector(".scroll")!.scrollLeft > 0);
    await checkFits(page);
    await checkAccessible(page);
    await page.setViewportSize({ width: 1920, height: 900 });
    const { left, right } = await shadows(page, region);
    assert.ok(left < unseen && right < unseen, `${left}, ${right}`);
  });
  await close();
});

test("Train at 360 px: what each rank holds goes on at the right, and a shadow says so", async () => {
  const { use, close } = await demo.open(address({ layout: "1d", ranks: 8, heads: 8, steps: 2 }), {
    viewport: { width: 360, height: 900 },
  });
  await use(async (page) => {
    await startButton(page).click();
    await page.getByText("Done: 2 steps").waitFor();
    await checkHints(page, page.getByRole("region", { name: "Memory by rank and purpose" }));
    await takePictures(page, "scrolling-train");
    await checkFits(page);
    await checkAccessible(page);
  });
  await close();
});

test.run();
