// What goes wrong under the Train page ends in a sentence, and the run's last checkpoint is still there.

import type { Page, Worker } from "playwright-core";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Window } from "../browser/window.ts";
import { type Demo, openDemo } from "./demo.ts";
import { address, keeps, paste, pause, startButton, stepOf, text } from "./train-page.ts";

let demo: Demo;
test.before(async () => {
  demo = await openDemo("start", "train");
});
test.after(() => demo?.close());

const alert = (page: Page, words: string) => page.getByRole("alert").filter({ hasText: words });
const engineOf = (page: Page): Worker => page.workers().find((worker) => worker.url().endsWith("/train/worker.js"))!;

/** A run that is held once, so that a checkpoint of it is kept, and goes on. */
async function startKept(page: Page): Promise<number> {
  await startButton(page).click();
  await pause(page);
  const step = await stepOf(page);
  await keeps(page, step);
  await page.getByRole("button", { name: "Go on" }).click();
  return step;
}

/** Whatever it was, the run goes on from there, or from a later checkpoint. */
async function goOnFrom(page: Page, step: number): Promise<void> {
  const words = await page.getByText(/The checkpoint of step [\d,]+ is kept in this browser/).textContent();
  const [, kept] = /The checkpoint of step ([\d,]+)/.exec(words!)!;
  const from = Number(kept.replaceAll(",", ""));
  assert.ok(from >= step, `kept at step ${from}, before ${step}`);
  await page.getByRole("button", { name: `Go on from step ${kept}` }).click();
  await page.waitForFunction((at) => (document.querySelector("progress")?.value ?? 0) > at, from);
}

test("a loss that runs away", async () => {
  const { use, close } = await demo.open(address({ steps: 60, rate: 1000 }));
  await use(async (page) => {
    await startButton(page).click();
    await alert(page, "The loss ran away at step").waitFor();
    await alert(page, "Take a smaller learning rate").waitFor();
    await startButton(page)
      .or(page.getByRole("button", { name: "Train again" }))
      .waitFor();
  });
  await close();
});

test("more than the device can hold", async () => {
  const large = { layout: "serial", width: 1024, context: 4096, batch: 1024 };
  const { use, close } = await demo.open(address(large));
  await use(async (page) => {
    await startButton(page).click();
    await alert(page, "There is not enough memory").waitFor();
    await alert(page, "Take a smaller width, batch or context").waitFor();
  });
  await close();
});

test("the page's worker ends without a word", async () => {
  const { use, close } = await demo.open(address({ steps: 5000 }));
  await use(async (page) => {
    await paste(page, text);
    const step = await startKept(page);
    // Its answer may not come any more.
    engineOf(page)
      .evaluate(() => self.close())
      .catch(() => undefined);
    await alert(page, "The thread that computes has ended").waitFor();
    await goOnFrom(page, step);
  });
  await close();
});

test("a worker that is a rank crashes", async () => {
  const { use, close } = await demo.open(address({ steps: 5000, place: "workers", layout: "1d", ranks: 2 }));
  await use(async (page) => {
    const step = await startKept(page);
    const threads = page.workers().filter((worker) => worker.url().startsWith("blob:"));
    // Those that compute sleep in shared memory and hear nothing.
    const nameOf = (worker: Worker) =>
      Promise.race([worker.evaluate(() => self.name), new Promise<string>((resolve) => setTimeout(resolve, 2000, ""))]);
    const names = await Promise.all(threads.map((worker) => nameOf(worker).catch(() => "")));
    const second = threads[names.indexOf("shardgrad rank 1")];
    assert.ok(second, `no rank 1 among ${names.join(", ")}`);
    // Its answer may not come any more.
    const crash = second.evaluate(() => {
      setTimeout(() => {
        throw new Error("out of luck");
      });
    });
    crash.catch(() => undefined);
    await alert(page, "A rank has stopped").waitFor();
    await alert(page, "The worker of rank 1 ended").waitFor();
    await goOnFrom(page, step);
  });
  await close();
});

test("the GPU's device is lost", async () => {
  const { use, close } = await demo.open(address({ steps: 5000, backend: "webgpu", layout: "serial" }));
  await use(async (page) => {
    await page.getByText("characters").first().waitFor();
    await engineOf(page).evaluate(() => {
      const { requestDevice } = GPUAdapter.prototype;
      GPUAdapter.prototype.requestDevice = async function (...given) {
        const device = await requestDevice.apply(this, given);
        Object.assign(globalThis, { device });
        return device;
      };
    });
    const step = await startKept(page);
    await engineOf(page).evaluate(() => (globalThis as unknown as { device: GPUDevice }).device.destroy());
    await alert(page, "The device that computed has gone").waitFor();
    await page.getByText(`The checkpoint of step ${step} is kept in this browser`).waitFor();
  });
  await close();
});

/** Room for a run of 16 columns and its text, and none for one of 96. */
const quotaBytes = 600_000;

test("the disk's quota is used up", async () => {
  const { page, use, close, context } = await demo.open(undefined);
  await use(async () => {
    const session = await context.newCDPSession(page);
    await session.send("Storage.overrideQuotaForOrigin", { origin: demo.origin, quotaSize: quotaBytes });
    await page.goto(`${demo.origin}/${address({ steps: 2 })}`);
    await paste(page, text);
    await startButton(page).click();
    await page.getByText("Done: 2 steps").waitFor();
    await keeps(page, 2);
    await page.goto(`${demo.origin}/${address({ steps: 3, width: 96 })}`);
    await startButton(page).click();
    await page.getByText("This browser's storage is full").waitFor();
    await page.getByText("There was no room for the checkpoint of step 3").waitFor();
    await page.getByText("Done: 3 steps").waitFor();
    await page.reload();
    await page.getByText("A finished run is kept in this browser: 2 steps").waitFor();
  });
  await close();
});

test("a tab that was in the background says how long, and how far the run went", async () => {
  const window = await Window.open();
  try {
    const tab = await window.openTab(`${demo.origin}/${address({ steps: 5000 })}`);
    const progress = 'Number(document.querySelector("[role=progressbar], progress")?.value ?? 0)';
    const says = (words: string) => tab.until(`/${words}/.test(document.body.innerText)`);
    const button = '[...document.querySelectorAll("button")].find((each) => each.textContent.trim() === "Train")';
    await tab.until(`${button} && !${button}.disabled`);
    await tab.evaluate(`${button}.click()`);
    await tab.until(`${progress} > 2`);
    await window.openTab("about:blank");
    await tab.until("document.hidden");
    await says("This browser keeps the checkpoint of step");
    const step = await tab.evaluate<number>(progress);
    await tab.until(`${progress} > ${step}`);
    assert.ok(await tab.evaluate("document.hidden"));
    await tab.toFront();
    await says("This tab was in the background for \\d+ seconds?; the run went on for \\d+ steps?\\.");
    await says("The checkpoint of step \\d+ is kept in this browser");
    assert.equal(window.troubles, []);
  } finally {
    await window.close();
  }
});

test.run();
