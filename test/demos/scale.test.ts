// The Scale page: its numbers are the library's, sliders change who wins, everything goes by keyboard and is in the address.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { bytes, percent, seconds } from "../../demos/kit/format.ts";
import { configOf, parametersOf, profileOf, whyIllegal } from "../../demos/scale/problem.ts";
import { examples, firstQuestion } from "../../demos/scale/question.ts";
import { parseProfile, searchPlan, shapesOf, trainingBytes } from "../../src/plan.ts";
import { command, events } from "../unit/command.ts";
import { checkAccessible, checkFits, type Demo, openDemo, takePictures } from "./demo.ts";
import { fastest, mesh, nameOf, pathOf, settled, simulatedHere, small, textOf, winner } from "./scale-page.ts";

let demo: Demo;
test.before(async () => {
  demo = await openDemo("start", "scale");
});
test.after(() => demo?.close());

test("each mesh's step, traffic and memory are what Node simulates; plan's choices are the library's, with its reasons", async () => {
  const { use, close } = await demo.open(pathOf(small));
  await use(async (page) => {
    const [found, profile] = [await simulatedHere(small), profileOf(small)];
    assert.ok(found.size >= 3);
    await mesh(page, "1d 8").waitFor();
    const shown = await page
      .locator("li[data-mesh]")
      .evaluateAll((all) => all.map((li) => li.getAttribute("data-mesh")));
    assert.equal(shown.toSorted(), [...found.keys()].toSorted());
    for (const [name, figures] of found) {
      const { seconds: all, computingSeconds, exposedSeconds, idleSeconds, bytesReceived, memoryBytes, mfu } = figures;
      assert.is(await textOf(mesh(page, name).locator(".time")), seconds(all));
      assert.equal(
        (await mesh(page, name).locator("dd").allTextContents()).map((text) => text.trim()),
        [
          ...[computingSeconds, exposedSeconds, idleSeconds].map(seconds),
          ...[
            percent(mfu),
            bytes(bytesReceived),
            `${bytes(memoryBytes.total)} of ${bytes(profile.device.memoryBytes.value)}`,
          ],
        ],
      );
    }
    await fastest(page, winner(found));
    const { choices } = await searchPlan({
      ...{ config: configOf(small), parameters: parametersOf(small), batches: [small.batch] },
      ...{ devices: small.devices, memoryBytes: profile.device.memoryBytes.value, profile },
    });
    const planned = page.getByRole("list", { name: "What plan found" }).getByRole("listitem");
    await planned.first().waitFor();
    assert.equal(
      await planned.locator(".numbers").allTextContents(),
      choices.map((choice) => `${seconds(choice.seconds)}, ${bytes(choice.memoryBytes)}`),
    );
    assert.equal(
      await planned.locator("p").allTextContents(),
      choices.map((choice) => choice.why ?? "The fastest that fits."),
    );
  });
  await close();
});

test("a deeper model's step, put together from one and two blocks, is within a fiftieth of the whole one", async () => {
  const deep = { ...small, layers: 12 };
  const { use, close } = await demo.open(pathOf(deep));
  await use(async (page) => {
    const [config, parameters] = [configOf(deep), parametersOf(deep)];
    const shapeOf = (name: string) => shapesOf(deep.devices).find((shape) => nameOf(shape) === name);
    const found = await simulatedHere(deep);
    await mesh(page, "1d 8").waitFor();
    for (const [name, figures] of found) {
      const text = await textOf(mesh(page, name).locator(".time"));
      const [, number, unit] = /^≈ ([\d.]+) (µs|ms|s)$/.exec(text) ?? assert.unreachable(text) ?? [];
      const value = Number(number) * { µs: 1e-6, ms: 1e-3, s: 1 }[unit as "µs" | "ms" | "s"];
      // Three digits are shown.
      assert.ok(Math.abs(value / figures.seconds - 1) <= 0.02 + 0.005, `${name}: ${text}, ${figures.seconds} s`);
      const held = await textOf(mesh(page, name).locator(".holds dd"));
      const formula = trainingBytes(config, { ...parameters, shape: shapeOf(name) }).total;
      assert.ok(held.startsWith(`${bytes(formula)} of`), `${name}: ${held}`);
      // As closely as the formula's own tests hold it.
      assert.ok(
        Math.abs(formula / figures.memoryBytes.total - 1) < 0.1,
        `${name}: ${formula}, ${figures.memoryBytes.total}`,
      );
    }
  });
  await close();
});

test("by keyboard alone: a slower network lets another layout win, the address keeps it, back undoes it; its devices are a file", async () => {
  const slow = { ...small, bandwidth: 1 / 16 };
  const [before, after] = [winner(await simulatedHere(small)), winner(await simulatedHere(slow))];
  assert.is.not(before, after);
  const { use, close } = await demo.open(pathOf(small));
  await use(async (page) => {
    await fastest(page, before);
    const slider = page.getByRole("slider", { name: "Bandwidth" });
    for (let i = 0; i < 40 && !(await slider.evaluate((element) => element === document.activeElement)); i++)
      await page.keyboard.press("Tab");
    // Sliders that move at once make one entry of the history: the first is not to be joined with the page's own.
    await page.waitForTimeout(1100);
    for (let i = 0; i < 4; i++) await page.keyboard.press("ArrowLeft");
    await fastest(page, after);
    assert.is(new URL(page.url()).searchParams.get("bandwidth"), "0.0625");
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Save machine.json" }).press("Enter"),
    ]);
    const stream = await download.createReadStream();
    const pieces: Buffer[] = [];
    for await (const piece of stream) pieces.push(piece as Buffer);
    assert.equal(parseProfile(JSON.parse(Buffer.concat(pieces).toString())), profileOf(slow));
    await page.reload();
    await fastest(page, after);
    const devices = page.getByLabel("Devices, any number");
    // The second question ends the first.
    for (const number of ["64", "4"]) {
      await devices.fill(number);
      await devices.press("Enter");
    }
    await mesh(page, "2d 2x2").waitFor();
    await settled(page);
    assert.is(await mesh(page, "2d 8x8").count(), 0);
    await page.goBack();
    await fastest(page, after);
    await page.goBack();
    await fastest(page, before);
  });
  await close();
});

test("another mesh is looked into by arrow keys; its command simulates the same number in a terminal", async () => {
  const { use, close } = await demo.open(pathOf(small));
  await use(async (page) => {
    await page.locator(".timeline canvas").waitFor();
    const first = mesh(page, "1d 8").getByRole("radio");
    await first.press("Space");
    await page.getByRole("heading", { name: "The step, rank by rank: 1D 8" }).waitFor();
    await first.press("ArrowDown");
    await page.getByRole("heading", { name: "The step, rank by rank: 1D, sequence 8" }).waitFor();
    assert.is(new URL(page.url()).searchParams.get("mesh"), "1d-sp 8");
    await page.getByRole("img", { name: /^1D, sequence 8, .*rank 0 computes \d.*rank 7 computes/ }).waitFor();
    const text = await textOf(page.locator("pre").first());
    assert.match(text, /^npx shardgrad simulate --layout 1d-sp --mesh 8 /);
    const { stdout } = await command([...text.split(/\s+/).slice(2), "--json"]);
    const [{ seconds: simulated }] = events(stdout) as { seconds: number }[];
    assert.is(await textOf(mesh(page, "1d-sp 8").locator(".time")), seconds(simulated));
  });
  await close();
});

test("every example is a question that can be simulated, and its link asks it", async () => {
  for (const { label, question } of examples) {
    const config = configOf(question);
    const possible = shapesOf(question.devices).filter(
      (shape) => whyIllegal(shape, { config, ...parametersOf(question) }) === undefined,
    );
    assert.ok(possible.length >= 3 && profileOf(question), label);
  }
  const { use, close } = await demo.open("scale/");
  await use(async (page) => {
    const { label, question } = examples.find(({ question: each }) => each.devices === 4)!;
    await page.getByRole("link", { name: label }).click();
    await fastest(page, winner(await simulatedHere(question)));
    assert.is(await page.getByRole("combobox", { name: "Network" }).inputValue(), question.network);
  });
  await close();
});

for (const [width, question] of [
  [360, small],
  [1920, firstQuestion],
] as const)
  test(`at ${width} px it fits, in light and dark, and axe has nothing to say`, async () => {
    const { use, close } = await demo.open(pathOf(question), { viewport: { width, height: 900 } });
    await use(
      async (page) => {
        await settled(page);
        for (const summary of await page.locator("summary").all()) await summary.click();
        await checkFits(page);
        await checkAccessible(page);
        for (const summary of await page.locator("summary").all()) await summary.click();
        await page.getByRole("list", { name: "What plan found" }).waitFor();
        await page.evaluate(() => scrollTo(0, 0));
        await takePictures(page, "scale");
        await page.setViewportSize({ width: 500, height: 900 });
        await page.waitForFunction(() =>
          [...document.querySelectorAll("canvas")].every((each) => each.clientWidth < 500),
        );
        await checkFits(page);
      },
      { timeoutMs: 120_000 },
    );
    await close();
  });

test.run();
