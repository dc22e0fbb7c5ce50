// Tabs in one room, as people would meet there: they train, one leaves, another comes; what their pages show is what one process computes.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { configOf, parametersOf } from "../../demos/together/choice.ts";
import { ensureBuilt } from "../../scripts/build.mjs";
import { charTokenizer, createBackend, makeCorpus, parseModelConfig } from "../../src/index.ts";
import { meshShape, trainOnMesh } from "../../src/parallel.ts";
import { Commands, sheepAndGoats } from "../network/command.ts";
import type { DemoPage } from "./demo.ts";
import { agree, openRoom, says, type Together, together } from "./together.ts";

let rooms: Together;
const commands = new Commands();
test.before(async () => {
  rooms = await together();
});
test.after(async () => {
  commands.kill();
  await rooms?.close();
});

const choice = { model: "tiny", mesh: "2", steps: 4, wire: "f32" } as const;

/** The same run in this process. */
async function alone(): Promise<{ losses: number[]; validationLoss: number; received: readonly number[] }> {
  const tokenizer = charTokenizer(sheepAndGoats);
  const parameters = parametersOf(choice);
  const corpus = makeCorpus({ tokens: tokenizer.encode(sheepAndGoats), context: parameters.context });
  const config = parseModelConfig(configOf(choice, tokenizer.vocabSize));
  const { backend } = await createBackend({ backend: "cpu" });
  const shape = meshShape({ layout: "1d", dims: [2] });
  const losses: number[] = [];
  let validationLoss = 0;
  let received: readonly number[] = [];
  for await (const event of trainOnMesh({ backend, config, tokenizer, corpus, parameters, shape })) {
    if (event.event === "step") {
      losses.push(event.loss);
      received = event.closedFormBytes ?? [];
    }
    if (event.event === "done") validationLoss = event.validationLoss;
  }
  backend.dispose();
  return { losses, validationLoss, received };
}

/** The page's last steps, oldest first. */
async function shown({ page }: DemoPage): Promise<{ losses: number[]; received: string[]; closedForm: string[] }> {
  await page.getByText("The last steps in numbers").click();
  const rows = page.locator("table.steps tbody tr");
  const losses = await rows
    .locator("data")
    .evaluateAll((all) => all.map((each) => Number((each as HTMLDataElement).value)));
  const cells = (column: number) => rows.locator(`td:nth-of-type(${column})`).allTextContents();
  return { losses: losses.reverse(), received: await cells(3), closedForm: await cells(4) };
}

test("two tabs train by the link alone: the bits of one process, and the closed form's bytes", async () => {
  const [ada, ben] = [await rooms.open("together/?steps=4"), await rooms.open("")];
  const link = await ada.use((page) => openRoom(page, sheepAndGoats));
  const expected = await alone();
  await ben.use(async (page) => {
    await page.goto(link);
    await says(page, "Trains a gpt2 of");
    await says(page, "It begins when 2 devices have agreed");
    // Whoever reloads is who was there before.
    await page.reload();
    await agree(page, "Ben");
    await says(page, "Waiting for the others: 1 of 2 have agreed");
  });
  await ada.use(async (page) => {
    await page.getByText("Ben", { exact: true }).waitFor();
    await agree(page, "Ada");
    await says(page, "The run is done");
  });
  await ben.use((page) => says(page, "The run is done"));
  for (const [tab, rank] of [
    [ada, 1],
    [ben, 0],
  ] as const) {
    const { losses, received, closedForm } = await shown(tab);
    assert.equal(losses, expected.losses);
    assert.equal(received, closedForm);
    assert.equal(received, Array(4).fill(expected.received[rank].toLocaleString("en-US")));
    await says(tab.page, expected.validationLoss.toFixed(4));
    await tab.close();
  }
});

test("one leaves: the other says who, and trains anew with a third, until that one's tab is closed", async () => {
  const [ada, ben, cleo] = [await rooms.open("together/?steps=2000"), await rooms.open(""), await rooms.open("")];
  const link = await ada.use((page) => openRoom(page, sheepAndGoats));
  await ada.use((page) => agree(page, "Ada"));
  const join = async ({ page }: DemoPage, name: string) => {
    await page.goto(link);
    await agree(page, name);
  };
  await ben.use((page) => join(ben, "Ben").then(() => says(page, " of 2,000")));
  await ada.use((page) => says(page, " of 2,000"));
  await cleo.use(async (page) => {
    await page.goto(link);
    await says(page, "A run is on, of ");
    await page.getByRole("button", { name: "Agree to the next run" }).waitFor();
  });
  await ben.use(async (page) => {
    // Whoever goes away by a slip is asked, and stays.
    const asked = page.waitForEvent("dialog");
    const clicked = page.getByRole("link", { name: "Train" }).click();
    const dialog = await asked;
    assert.is(dialog.type(), "beforeunload");
    await dialog.dismiss();
    await clicked;
    await says(page, "This device trains");
    await page.getByRole("button", { name: "Leave" }).click();
    await says(page, "This device takes no part");
  });
  await ada.use(async (page) => {
    await says(page, "The run has ended because of Ben: rank 1 has left");
    await says(page, "Ended at step ");
    await says(page, "Ben has left");
    await says(page, "Waiting for the others: 1 of 2 have agreed");
  });
  await cleo.use((page) => join(cleo, "Cleo").then(() => says(page, " of 2,000")));
  await ada.use((page) => says(page, " of 2,000"));
  await cleo.close();
  await ada.use((page) => says(page, "The run has ended because of Cleo"));
  await ada.close();
  await ben.close();
});

test("a tab and a terminal train together", async () => {
  await ensureBuilt();
  const ada = await rooms.open("together/?steps=3");
  await ada.use(async (page) => {
    const link = await openRoom(page, sheepAndGoats);
    const terminal = commands.start(["join", link, "--yes", "--backend", "cpu", "--name", "a terminal"]);
    await page.getByText("a terminal", { exact: true }).waitFor();
    await agree(page, "Ada");
    await says(page, "The run is done");
    assert.is(await terminal.ended, 0, terminal.errors);
    const losses = terminal.events.filter(({ event }) => event === "step").map(({ loss }) => loss);
    assert.equal((await shown(ada)).losses, losses);
  });
  await ada.close();
});

test.run();
