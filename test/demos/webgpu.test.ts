// Pages on WebGPU, here Chromium's software adapter, which a page takes only where it is asked to.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Demo, openDemo, takePictures } from "./demo.ts";
import { address, inNode, keptLosses, lossesOf, paste, startButton, text } from "./train-page.ts";

let demo: Demo;
test.before(async () => {
  demo = await openDemo("start", "products", "train");
});
test.after(() => demo?.close());

test("the Train page trains on WebGPU: it says so, and its losses are those of the cpu backend but for rounding", async () => {
  const { use, close } = await demo.open(address({ backend: "webgpu" }));
  await use(async (page) => {
    await paste(page, text);
    await startButton(page).click();
    await page.getByText("Done: 12 steps").waitFor();
    await takePictures(page, "train-webgpu");
    const losses = await keptLosses(page);
    const node = lossesOf(await inNode());
    assert.equal(
      losses.map(([step]) => step),
      node.map(([step]) => step),
    );
    // Step 1 differs by the rounding of one forward pass; later ones by what AdamW makes of it, which grows with the steps.
    for (const [i, [, loss]] of losses.entries())
      assert.ok(
        Math.abs(loss / node[i][1] - 1) < (i === 0 ? 1e-6 : 1e-3),
        `step ${i + 1}: ${loss}, in Node ${node[i][1]}`,
      );
  });
  await close();
});

test("the Products page multiplies on WebGPU where that is chosen: the words are the same, and the error is rounding's", async () => {
  const { use, close } = await demo.open("products/?layout=2.5d&q=2&d=2&m=21&n=10&k=17&backend=cpu");
  await use(async (page) => {
    const figure = (name: RegExp) =>
      page
        .locator("dl div", { has: page.getByText(name) })
        .locator("dd")
        .textContent();
    const ran = (where: string) => page.getByText(new RegExp(`multiplied .* in this page.*${where}`, "s")).waitFor();
    await ran("cpu");
    const words = await figure(/^Words to the busiest rank/);
    await page.getByLabel("Computes on").selectOption("WebGPU");
    await ran("webgpu");
    assert.is(await figure(/^Words to the busiest rank/), words);
    // Of its bound; exactly none would be no f32.
    const error = Number(await figure(/^Largest error/));
    assert.ok(error > 0 && error <= 1, `${error} of the bound`);
    await page.getByText("Every rank's words equal the closed form").waitFor();
    await takePictures(page, "products-webgpu");
    assert.match(page.url(), /backend=webgpu/);
  });
  await close();
});

test.run();
