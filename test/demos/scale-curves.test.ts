// The Scale page's curves and what plan finds, beside the library in Node and what is known in closed form.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { count, seconds } from "../../demos/kit/format.ts";
import { tabsBytesPerSecond, wifiBytesPerSecond } from "../../demos/together/estimate.ts";
import { profileNamed } from "../../src/plan.ts";
import { type Demo, openDemo } from "./demo.ts";
import { cells, fastest, mesh, pathOf, simulatedHere, small, textOf, winner } from "./scale-page.ts";

let demo: Demo;
test.before(async () => {
  demo = await openDemo("start", "scale");
});
test.after(() => demo?.close());

test("the curves: every bandwidth's fastest mesh and each number of devices', strong and weak, are what Node simulates", async () => {
  const { use, close } = await demo.open(pathOf(small));
  await use(async (page) => {
    for (const bandwidth of [1 / 4096, 1 / 16, 1]) {
      const found = await simulatedHere({ ...small, bandwidth });
      const row = page.locator(`tr[data-bandwidth="${bandwidth}"]`);
      await row.waitFor({ state: "attached" });
      const [, mesh, time] = await row.locator("td, th").allTextContents();
      assert.is(time, seconds(found.get(winner(found))!.seconds));
      assert.ok(
        mesh.endsWith(winner(found).split(" ")[1].replaceAll("x", "\u00a0×\u00a0")),
        `${mesh}, ${winner(found)}`,
      );
    }
    for (const [growth, batch] of [
      ["strong", small.batch],
      ["weak", small.batch / 2],
    ] as const) {
      await page.getByRole("radio", { name: growth }).check();
      const found = await simulatedHere({ ...small, devices: 4, batch });
      const best = found.get(winner(found))!;
      await page
        .locator('tr[data-devices="4"]', { hasText: seconds(best.seconds) })
        .filter({ hasText: count(best.tokensPerSecond) })
        .waitFor({ state: "attached" });
    }
    assert.is(new URL(page.url()).searchParams.get("growth"), "weak");
  });
  await close();
});

test("what plan found is shown: with its micro-batches a model fits that did not, and takes as long as plan says", async () => {
  const sizes = { layers: 12, width: 768, heads: 12, kvHeads: 12, context: 1024, vocab: 50257 };
  const { use, close } = await demo.open(pathOf({ ...small, ...sizes, devices: 1, memory: 1 / 16 }));
  await use(async (page) => {
    const only = mesh(page, "serial 1");
    await only.getByText("fastest, but does not fit").waitFor();
    const best = page.getByRole("list", { name: "What plan found" }).getByRole("listitem").first();
    await best.getByText("4 micro-batches of 2").waitFor();
    await best.getByRole("button", { name: "Show one rank" }).click();
    await fastest(page, "serial 1");
    assert.is(new URL(page.url()).searchParams.get("accumulate"), "4");
    assert.ok((await textOf(best.locator(".numbers"))).startsWith(`${await textOf(only.locator(".time"))},`));
    await page
      .locator("pre", { hasText: "simulate" })
      .getByText(/--batch 2 --accumulate 4$/)
      .waitFor();
  });
  await close();
});

test("64 ranks: 2D moves 0.70, 1.42 and 1.97 times the words of 2.5D at 1, 8 and 32 tokens a column, simulated too", async () => {
  const wide = { ...small, layers: 1, width: 1024, context: 64, batch: 64, devices: 64 };
  const { use, close } = await demo.open(pathOf(wide));
  await use(
    async (page) => {
      const panel = page.getByRole("region", { name: "When depth pays: 2D beside 2.5D" });
      const rows = await cells(panel);
      for (const [tokens, ratio] of [
        ["1", "0.70"],
        ["8", "1.42"],
        ["32", "1.97"],
      ])
        assert.equal(rows.find(([first]) => first === tokens)?.slice(1, 3), [ratio, ratio], JSON.stringify(rows));
      await panel.getByText("Here it has 4 times as many").waitFor();
      await page.getByRole("button", { name: "Search 64 devices" }).waitFor();
    },
    { timeoutMs: 120_000 },
  );
  await close();
});

test("Wi-Fi is as fast on Together as here", () => {
  const [wifi] = profileNamed("phone", "wifi").network;
  assert.is(tabsBytesPerSecond, wifi.bytesPerSecond.value);
  assert.is(wifiBytesPerSecond, wifi.mediumBytesPerSecond?.value);
});

test.run();
