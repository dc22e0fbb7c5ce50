// A demo page in headless Chromium, built for the test and served as `shardgrad demo` serves it. Whatever goes wrong in the page, a
// warning on its console included, fails the test that uses it.

import { mkdirSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { AxeBuilder } from "@axe-core/playwright";
import type { BrowserContext, BrowserContextOptions, Page } from "playwright-core";
import * as assert from "uvu/assert";
import { buildDemos, policy } from "../../scripts/build-demos.mjs";
import { demoPages } from "../../src/cli/demo-pages.ts";
import { isolationHeaders } from "../../src/cluster/rendezvous/pages.ts";
import { launchBrowser, watchPage } from "../browser/page.ts";

/** Where tests leave pictures of pages: an ignored folder, to be looked at. */
const pictures = "build/pictures";

export interface DemoPage {
  readonly page: Page;
  readonly context: BrowserContext;
  /** Runs `work`; rejects as soon as something goes wrong in the page, or after `timeoutMs`. */
  use<T>(work: (page: Page) => Promise<T>, options?: { timeoutMs: number }): Promise<T>;
  close(): Promise<void>;
}

export interface Demo {
  readonly origin: string;
  /** of the built pages */
  readonly folder: string;
  /** @param path of the page, with its query: "train/?mesh=2x2"; or a whole address, of another server; undefined: a tab with nothing in it
   *  @param isolated false: as a host without the headers for shared memory serves it */
  open(
    path: string | undefined,
    options?: BrowserContextOptions & { isolated?: boolean; context?: BrowserContext },
  ): Promise<DemoPage>;
  close(): Promise<void>;
}

/** @param names of the pages to build */
export async function openDemo(...names: string[]): Promise<Demo> {
  const outdir = `build/demos-${process.pid}`;
  await buildDemos({ names, outdir });
  const pages = demoPages(outdir);
  let isolated = true;
  const server = createServer(({ url = "/" }, response) => {
    const page = pages(url.replace(/[?#].*$/s, ""));
    const headers = {
      ...(isolated && isolationHeaders),
      "Content-Security-Policy": policy,
      "Cache-Control": "no-store",
    };
    response.writeHead(page ? 200 : 404, { ...headers, ...(page && { "Content-Type": page.type }) });
    response.end(page?.body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = `http://localhost:${(server.address() as AddressInfo).port}`;
  const browser = await launchBrowser();
  return {
    ...{ origin, folder: outdir },
    async open(path, { isolated: isolate = true, context: given, ...options } = {}) {
      isolated = isolate;
      const context = given ?? (await browser.newContext({ acceptDownloads: true, ...options }));
      const page = await context.newPage();
      const { use } = watchPage(page, { warnings: true });
      if (path !== undefined) await page.goto(new URL(path, `${origin}/`).href);
      return {
        page,
        context,
        use: (work, options = { timeoutMs: 60_000 }) => use(work, options),
        close: () => (given ? page.close() : context.close()),
      };
    },
    async close() {
      await browser.close();
      server.closeAllConnections();
      server.close();
      rmSync(outdir, { recursive: true, force: true });
    },
  };
}

/** Leaves a picture of the page in light and in dark, as wide as it is. */
export async function takePictures(page: Page, name: string): Promise<void> {
  mkdirSync(pictures, { recursive: true });
  const width = page.viewportSize()?.width ?? 0;
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: `${pictures}/${name}-${width}-${colorScheme}.png`, fullPage: true });
  }
}

/** axe finds nothing serious or critical, in light and in dark. */
export async function checkAccessible(page: Page): Promise<void> {
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    const { violations } = await new AxeBuilder({ page }).analyze();
    const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    const told = serious.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html }) => html).join(" | ")}`);
    assert.equal(told, [], `in ${colorScheme}`);
  }
}

/** The page is no wider than its window: nobody scrolls sideways to read. */
export async function checkFits(page: Page): Promise<void> {
  const { wide, window: inner } = await page.evaluate(() => ({
    wide: document.documentElement.scrollWidth,
    window: document.documentElement.clientWidth,
  }));
  assert.ok(wide <= inner, `the page is ${wide} px wide in a window of ${inner}`);
}
