// Devices and networks have names in words wherever they are chosen: every profile of the package, on Products and on Scale.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { deviceTitle, networkTitle } from "../../demos/kit/machines.ts";
import { networkNames, profileNames } from "../../src/plan.ts";
import { type Demo, openDemo } from "./demo.ts";
import { pathOf, small } from "./scale-page.ts";

let demo: Demo;
test.before(async () => {
  demo = await openDemo("start", "products", "scale");
});
test.after(() => demo?.close());

test("every profile has a title of its own", () => {
  for (const [names, titleOf] of [
    [profileNames, deviceTitle],
    [networkNames, networkTitle],
  ] as const) {
    const titles = names.map(titleOf);
    assert.ok(names.length > 5);
    assert.is(new Set(titles).size, names.length);
    for (const [i, title] of titles.entries()) assert.match(title, /\w.*[ ,].*\w/, `${names[i]} is called ${title}`);
  }
});

for (const [path, label, own] of [
  ["products/?view=race&network=homes", "Network between them", ""],
  [pathOf({ ...small, network: "homes" }), "Network", "own"],
] as const)
  test(`${path.split("/")[0]} offers every network by its title, the chosen one too`, async () => {
    const { use, close } = await demo.open(path);
    await use(async (page) => {
      const select = page.getByRole("combobox", { name: label, exact: true });
      const chosen = select.locator("option:checked");
      assert.is(await chosen.textContent(), networkTitle("homes"));
      await page.waitForFunction((count) => document.querySelectorAll("option").length > count, networkNames.length);
      await select.locator('option[value="home"]').waitFor({ state: "attached" });
      const offered = await select
        .locator("option")
        .evaluateAll((all) => all.map((option) => [(option as HTMLOptionElement).value, option.textContent]));
      assert.equal(
        new Map(offered.filter(([value]) => value !== own) as [string, string][]),
        new Map(networkNames.map((name) => [name, networkTitle(name)])),
      );
      assert.is(await chosen.textContent(), networkTitle("homes"));
    });
    await close();
  });

test.run();
