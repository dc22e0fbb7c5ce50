// Runs of the Train page that are kept: over a reload, as a file, on another mesh; and the files that a run leaves.

import { readFile } from "node:fs/promises";
import type { Download } from "playwright-core";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { meshShape, readCheckpoint } from "../../src/parallel.ts";
import { checkTrace } from "../unit/trace-format.ts";
import { type Demo, openDemo } from "./demo.ts";
import { address, inNode, keeps, keptLosses, lossesOf, paste, pause, startButton, stepOf, text } from "./train-page.ts";

let demo: Demo;
test.before(async () => {
  demo = await openDemo("start", "train");
});
test.after(() => demo?.close());

const steps = 60;
const bytesOf = async (download: Download): Promise<Uint8Array> =>
  new Uint8Array(await readFile(await download.path()));

test("held, reloaded and gone on with: every loss is that of a run in Node that nobody held", async () => {
  const { use, close } = await demo.open(address({ steps }));
  await use(async (page) => {
    await paste(page, text);
    await startButton(page).click();
    await pause(page);
    const held = await stepOf(page);
    assert.ok(held < steps, `the run was over before it was held, at step ${held}`);
    await keeps(page, held);
    await page.reload();
    await page.getByText(`A run is kept in this browser: step ${held} of ${steps}`).waitFor();
    await page.getByRole("button", { name: `Go on from step ${held}` }).click();
    await page.getByText(`Done: ${steps} steps`).waitFor();
    await keeps(page, steps);
    assert.equal(await keptLosses(page), lossesOf(await inNode({ steps })));
    await page.reload();
    await page.getByRole("button", { name: "Forget it" }).click();
    await page.getByRole("button", { name: "Forget it" }).waitFor({ state: "detached" });
    await page.reload();
    await page.getByText("What you will see").waitFor();
    assert.is(await page.getByText("A run is kept").count(), 0);
  });
  await close();
});

test("a checkpoint of 2 x 2 ranks is downloaded, opened on one rank, and goes on as it does in Node", async () => {
  const first = await demo.open(address({ steps }));
  const checkpoint = await first.use(async (page) => {
    await paste(page, text);
    await startButton(page).click();
    await pause(page);
    const download = page.waitForEvent("download");
    await page.getByRole("button", { name: "Download a checkpoint" }).click();
    return { name: (await download).suggestedFilename(), bytes: await bytesOf(await download) };
  });
  await first.close();
  const { step } = readCheckpoint(checkpoint.bytes);
  assert.is(checkpoint.name, `shardgrad-step-${step}.safetensors`);

  const second = await demo.open(address({ layout: "serial", width: 32, heads: 4 }));
  await second.use(async (page) => {
    await paste(page, text);
    const file = { name: checkpoint.name, mimeType: "", buffer: Buffer.from(checkpoint.bytes) };
    await page.getByLabel("Open a checkpoint").setInputFiles(file);
    await page.getByText(`Goes on from step ${step}`).waitFor();
    assert.is(await page.getByLabel("Width").inputValue(), "16");
    assert.ok(await page.getByLabel("Width").isDisabled());
    await startButton(page).click();
    await page.getByText("Done: 60 steps").waitFor();
    await keeps(page, steps);
    const serial = await inNode({ steps, shape: meshShape({ layout: "serial" }), resume: checkpoint.bytes });
    assert.equal(await keptLosses(page), lossesOf(serial));
  });
  await second.close();
});

test("what is no checkpoint, and a text that a checkpoint's model cannot read, are refused in a sentence", async () => {
  const { use, close } = await demo.open(address({ layout: "serial", steps: 2 }));
  await use(async (page) => {
    const picker = page.getByLabel("Open a checkpoint");
    await picker.setInputFiles({ name: "no.safetensors", mimeType: "", buffer: Buffer.from("not one at all") });
    await page.getByRole("alert").filter({ hasText: "This checkpoint cannot be opened" }).waitFor();
    await paste(page, text);
    await startButton(page).click();
    await page.getByText("Done: 2 steps").waitFor();
    const download = page.waitForEvent("download");
    await page.getByRole("button", { name: "Download a checkpoint" }).click();
    const buffer = Buffer.from(await bytesOf(await download));
    await picker.setInputFiles({ name: "own.safetensors", mimeType: "", buffer });
    await page.getByText("Goes on from step 2").waitFor();
    await paste(page, "Ünknöwn chäräcters ".repeat(100));
    await page.getByRole("button", { name: "Train again" }).click();
    await page.getByRole("alert").filter({ hasText: "need one of the" }).waitFor();
  });
  await close();
});

test("trace and report of a run are files that open", async () => {
  const { use, close } = await demo.open(address({ steps: 8 }));
  await use(async (page) => {
    await startButton(page).click();
    await page.getByText("Done: 8 steps").waitFor();
    const trace = page.waitForEvent("download");
    await page.getByRole("button", { name: "Download for Perfetto" }).click();
    checkTrace(new TextDecoder().decode(await bytesOf(await trace)));
    const report = page.waitForEvent("download");
    await page.getByRole("button", { name: "Download a report" }).click();
    // Where nothing can be fetched: it needs nothing.
    const alone = await page.context().newPage();
    await alone.setContent(new TextDecoder().decode(await bytesOf(await report)));
    await alone.getByRole("heading", { name: "GPT on this project's sources" }).waitFor();
    await alone.getByRole("img", { name: /^Loss from / }).waitFor();
    await alone.getByText("8 of 8").waitFor();
    await alone.getByText("received and by the closed form: equal").waitFor();
  });
  await close();
});

test.run();
