// What tests of the Scale page share: a small question, what Node simulates for it, and where the page shows it.

import type { Locator, Page } from "playwright-core";
import { configOf, parametersOf, profileOf, whyIllegal } from "../../demos/scale/problem.ts";
import { addressOf, firstQuestion, type Question } from "../../demos/scale/question.ts";
import { type MeshShape, shapesOf, simulateStep } from "../../src/plan.ts";

/** Fast on a fast network, where 2.5D wins, and 1D on a slow one. */
export const small: Question = {
  ...firstQuestion,
  ...{ arch: "gpt2", layers: 2, width: 512, heads: 8, kvHeads: 8, ffn: 0, vocab: 256, context: 64 },
  ...{ batch: 8, dtype: "f32", devices: 8, profile: "h100" },
};

export const pathOf = (question: Question): string => `scale/${addressOf(question)}`;
export const nameOf = ({ layout, dims }: MeshShape): string => `${layout} ${dims.join("x")}`;

/** What Node simulates, by the names of meshes. */
export async function simulatedHere(question: Question) {
  const [config, parameters, profile] = [configOf(question), parametersOf(question), profileOf(question)];
  const found = new Map<string, Awaited<ReturnType<typeof simulateStep>>["figures"]>();
  for (const shape of shapesOf(question.devices))
    if (whyIllegal(shape, { config, ...parameters }) === undefined)
      found.set(nameOf(shape), (await simulateStep({ shape, config, parameters, profile })).figures);
  return found;
}

export const winner = (found: Awaited<ReturnType<typeof simulatedHere>>): string =>
  [...found].reduce((best, each) => (each[1].seconds < best[1].seconds ? each : best))[0];

export const mesh = (page: Page, name: string) => page.locator(`li[data-mesh="${name}"]`);
export const fastest = (page: Page, name: string) => mesh(page, name).getByText("fastest", { exact: true }).waitFor();
export const textOf = async (of: Locator): Promise<string> => ((await of.textContent()) ?? "").trim();
/** Of a table's body, row by row, when there is one. */
export async function cells(within: Locator): Promise<string[][]> {
  const rows = within.locator("tbody tr");
  await rows.first().waitFor({ state: "attached", timeout: 0 });
  return await rows.evaluateAll((all) =>
    all.map((row) => [...row.children].map((cell) => (cell.textContent ?? "").trim())),
  );
}

/** All that the page asks its workers is answered. */
export async function settled(page: Page): Promise<void> {
  await page.locator("li[data-mesh]").first().waitFor();
  await page.locator(".timeline canvas").waitFor();
  await page.waitForFunction(
    () => document.querySelectorAll(".plot").length === 3 && !document.querySelector("[aria-busy=true]"),
    undefined,
    // As long as the test may take.
    { timeout: 0 },
  );
}
