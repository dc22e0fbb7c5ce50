// The Scale page asked what cannot be answered: it says why, and shows nothing of another question as if it were the answer.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { firstQuestion } from "../../demos/scale/question.ts";
import { checkAccessible, type Demo, openDemo } from "./demo.ts";
import { pathOf, settled, small } from "./scale-page.ts";

let demo: Demo;
test.before(async () => {
  demo = await openDemo("start", "scale");
});
test.after(() => demo?.close());

test("what cannot be says why: sizes that no model has, meshes that do not divide it, and numbers that are no devices", async () => {
  const { use, close } = await demo.open(pathOf({ ...small, devices: 6 }));
  await use(async (page) => {
    // Open of itself, where nothing else is shown.
    await page.getByText("2 meshes are not possible: why").waitFor();
    await page.getByText("mesh 6: 8 heads do not divide over 6 ranks").first().waitFor();
    await page.getByText("No layout of 6 devices divides this model and batch").waitFor();
    await checkAccessible(page);
    await page.getByText("Its sizes").click();
    await page.getByLabel("Heads", { exact: true }).fill("7");
    await page.keyboard.press("Tab");
    await page.getByRole("alert").getByText("got n_head 7 with n_embd 512").waitFor();
    await page.getByLabel("Model", { exact: true }).selectOption("small");
    await page.getByLabel("Devices, any number").fill("1");
    await page.keyboard.press("Tab");
    await page.getByText("one rank is the fastest").waitFor();
  });
  await close();
});

test("what is not of the present question is not shown as if it were: it fades, says so, or goes", async () => {
  const { use, close } = await demo.open(pathOf(small));
  await use(async (page) => {
    await settled(page);
    await page.getByText("Its sizes").click();
    const heads = page.getByLabel("Heads", { exact: true });
    const stale = page.locator(".panel.stale");
    // No value: the question stays, and so do its answers, faded.
    await heads.fill("0");
    await heads.press("Enter");
    await page.getByRole("status").getByText("A field waits to be mended").waitFor();
    assert.is(await stale.count(), await page.locator(".answers .panel").count());
    assert.ok(await page.getByRole("button", { name: "Copy: simulate" }).isDisabled());
    // Another question, which no model answers.
    await heads.fill("5");
    await heads.press("Enter");
    await page.getByRole("alert").getByText("got n_head 5 with n_embd 512").waitFor();
    assert.is(await page.locator(".answers .panel, pre").count(), 0);
    await page.getByText("This cannot be simulated: what is wrong with it is below.").waitFor();
    await page.goBack();
    await settled(page);
    assert.is(await stale.count(), 0);
    // No mesh: nothing of the eight ranks before stands there.
    await page.getByLabel("Devices, any number").fill("7");
    await page.keyboard.press("Tab");
    await page.getByText("No layout of 7 devices divides this model and batch").waitFor();
    await page.waitForFunction(() => !document.querySelector("[aria-busy=true]"), undefined, { timeout: 0 });
    assert.is(await page.locator(".timeline canvas, pre").count(), 0);
    const region = (name: string) => page.getByRole("region", { name });
    for (const name of ["The step, rank by rank", "A slower network, a faster one"])
      await region(name).getByText("No mesh of 7 devices can train this model and batch").waitFor();
    await region("When depth pays").getByText("7 devices do not make both a 2D and a 2.5D mesh; here are 16").waitFor();
    assert.is(
      await page
        .locator(".title span")
        .allTextContents()
        .then((all) => all.join("")),
      "",
    );
  });
  await close();
});

test("where memory suffices nowhere, the curves say so in words", async () => {
  const { use, close } = await demo.open(pathOf({ ...firstQuestion, profile: "laptop", devices: 4, batch: 4 }));
  await use(async (page) => {
    await page.getByRole("option", { name: "mid-range laptop", exact: true }).waitFor({ state: "attached" });
    await page.getByText("On none of 1 to 16 devices can the model train").waitFor({ timeout: 0 });
    await page.locator('tr[data-devices="4"]').getByText("does not fit").waitFor();
    await page.getByText("No mesh fits the memory of a device").waitFor({ timeout: 0 });
  });
  await close();
});

test.run();
