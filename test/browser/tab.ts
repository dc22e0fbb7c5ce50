// A tab that takes part in a room, as its user would.

import type { openBrowser } from "./page.ts";

/** Opens the link, agrees, and takes part to the end; resolves with what it shows then. */
export async function tab(
  browser: Awaited<ReturnType<typeof openBrowser>>,
  link: string,
): Promise<{ evaluation: string | null; traffic: string | null }> {
  const { use, close } = await browser.openPage();
  try {
    return await use(
      async (page) => {
        await page.goto(link);
        await page.click("#take");
        await page.waitForURL(/\/train/);
        await page.click("#take");
        // By the clock: a tab that is not looked at draws no frames.
        const done = () => document.querySelector("#state")?.textContent === "Done. Thank you.";
        await page.waitForFunction(done, undefined, { polling: 200, timeout: 100_000 }).catch(async () => {
          throw new Error(`the tab says: ${await page.evaluate(() => document.body.textContent)}`);
        });
        return { evaluation: await page.textContent("#evaluation"), traffic: await page.textContent("#traffic") };
      },
      { timeoutMs: 120_000 },
    );
  } finally {
    await close();
  }
}
