// A page in headless Chromium on its software WebGPU adapter, served from this project by a small static server.
// Playwright drives it; whatever goes wrong in the page (an exception, a refused request, a crash) fails the test that uses it.

import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize, sep } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";

const types: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".map": "application/json",
  ".txt": "text/plain; charset=utf-8",
  ".wasm": "application/wasm",
};

/** SwiftShader on any machine, and none of what a browser does for a person: first-run pages, updates, reports. */
export const browserArguments = [
  "--no-sandbox",
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Serves the project's files to this machine. `/` is an empty page, cross-origin isolated so that it has SharedArrayBuffer; `/open` one
 *  that is not, as most servers send them. */
async function serve(root: string) {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    if (pathname !== "/open") {
      response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
      response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    }
    response.setHeader("Cache-Control", "no-store");
    if (pathname === "/" || pathname === "/open") {
      response.setHeader("Content-Type", types[".html"]);
      response.end('<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>shardgrad</title></html>');
      return;
    }
    const path = normalize(join(root, decodeURIComponent(pathname)));
    const inside = path.startsWith(root.endsWith(sep) ? root : root + sep);
    if (!inside || !statSync(path, { throwIfNoEntry: false })?.isFile()) {
      response.statusCode = 404;
      response.end();
      return;
    }
    response.setHeader("Content-Type", types[extname(path)] ?? "application/octet-stream");
    createReadStream(path).pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return { origin: `http://localhost:${port}`, close: () => server.close() };
}

export function chromiumPath(): string {
  const path = process.env.CHROMIUM_PATH;
  if (!path) throw new Error("CHROMIUM_PATH is not set; npm test sets it to the Chromium it found");
  return path;
}

/** A browser with a profile of its own, in a temporary folder that goes with it. */
export const launchBrowser = (): Promise<Browser> =>
  chromium.launch({ executablePath: chromiumPath(), headless: true, args: browserArguments });

/** Uses of a page: they reject once anything has gone wrong in it from now on; warnings too, where they are to count. */
export function watchPage(page: Page, { warnings = false } = {}): Pick<OpenPage, "use"> {
  let fail: (error: Error) => void = () => {};
  const trouble = new Promise<never>((_, reject) => {
    fail = reject;
  });
  trouble.catch(() => {});
  page.on("pageerror", (error) => fail(new Error(`in the page: ${error.stack ?? error.message}`)));
  page.on("crash", () => fail(new Error("the page crashed")));
  page.on("requestfailed", (request) => {
    const reason = request.failure()?.errorText;
    // Chromium says so of every other body that is read as a stream, though all of it has come: who reads it knows if not.
    if (request.resourceType() === "fetch" && reason === "net::ERR_ABORTED") return;
    fail(new Error(`${request.url()}: ${reason}`));
  });
  page.on("response", (response) => {
    if (response.status() >= 400) fail(new Error(`${response.url()}: status ${response.status()}`));
  });
  page.on("console", (line) => {
    if (line.type() === "error" || (warnings && line.type() === "warning"))
      fail(new Error(`the page's console: ${line.text()}`));
  });
  return {
    async use(work, { timeoutMs }) {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(
          () => reject(new Error(`the page was still at work after ${timeoutMs / 1000} s`)),
          timeoutMs,
        );
      });
      try {
        return await Promise.race([work(page), trouble, late]);
      } finally {
        clearTimeout(timer);
      }
    },
  };
}

/** A page on `origin`, its troubles so far, and its end. */
export interface OpenPage {
  readonly page: Page;
  /** Runs `work` with the page; rejects as soon as something goes wrong in it, or after `timeoutMs`. */
  use<T>(work: (page: Page) => Promise<T>, options: { timeoutMs: number }): Promise<T>;
  close(): Promise<void>;
}

/** A browser and a server for as many pages as wanted.
 *  @param options.root folder whose files the pages may load; a page's URL of a file is its path below it */
export async function openBrowser({ root }: { root: string }) {
  const server = await serve(root);
  const browser = await launchBrowser();

  async function openPage({ isolated = true } = {}): Promise<OpenPage> {
    const page = await browser.newPage();
    const { use } = watchPage(page);
    await page.goto(`${server.origin}/${isolated ? "" : "open"}`);
    return {
      page,
      use,
      close: () => page.close(),
    };
  }

  return {
    openPage,
    async close() {
      await browser.close();
      server.close();
    },
  };
}
