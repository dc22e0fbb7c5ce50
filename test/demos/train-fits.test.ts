// The Train page on a phone and on a wide screen: it fits, axe has nothing to say, and what was started is in view.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { checkAccessible, checkFits, type Demo, openDemo, takePictures } from "./demo.ts";
import { address, pause, startButton } from "./train-page.ts";

let demo: Demo;
test.before(async () => {
  demo = await openDemo("start", "train");
});
test.after(() => demo?.close());

const isInView = (element: Element): boolean => {
  const { top, bottom } = element.getBoundingClientRect();
  return top >= 0 && bottom <= innerHeight;
};

for (const width of [360, 1920])
  test(`at ${width} px it fits, before and during a run, in light and dark, and axe has nothing to say`, async () => {
    const { use, close } = await demo.open(address({ steps: 4000, layout: "2.5d", sampleEvery: 20 }), {
      viewport: { width, height: 800 },
    });
    await use(async (page) => {
      await page.getByText("characters").first().waitFor();
      await checkFits(page);
      await checkAccessible(page);
      await takePictures(page, "train-before");
      await startButton(page).click();
      await page.locator("canvas.timeline").waitFor();
      await page.getByRole("progressbar").waitFor();
      for (const seen of [page.getByRole("button", { name: "Pause" }), page.getByRole("progressbar")])
        assert.ok(await seen.evaluate(isInView), "the run is out of view");
      await page.getByText("after step 20").waitFor();
      await pause(page);
      await checkFits(page);
      await checkAccessible(page);
      await takePictures(page, "train");
    });
    await close();
  });

test.run();
