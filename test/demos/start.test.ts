// The first page, and what all pages share: navigation, colours, small windows.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { checkAccessible, checkFits, type Demo, openDemo, takePictures } from "./demo.ts";

let demo: Demo;
test.before(async () => {
  demo = await openDemo("start");
});
test.after(() => demo?.close());

for (const width of [360, 1920])
  test(`at ${width} px it fits, in light and dark, and axe has nothing to say`, async () => {
    const { use, close } = await demo.open("", { viewport: { width, height: 800 } });
    await use(async (page) => {
      await page.getByRole("heading", { level: 1, name: "shardgrad" }).waitFor();
      await checkFits(page);
      await checkAccessible(page);
      await takePictures(page, "start");
    });
    await close();
  });

test("colours can be chosen, and are kept", async () => {
  const { use, close } = await demo.open("");
  await use(async (page) => {
    const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await page.getByLabel("Colours").selectOption("dark");
    const dark = await paper();
    await page.reload();
    await page.getByLabel("Colours").waitFor();
    assert.is(await paper(), dark);
    await page.getByLabel("Colours").selectOption("light");
    assert.is.not(await paper(), dark);
  });
  await close();
});

test.run();
