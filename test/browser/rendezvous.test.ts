// A room in Chromium: its own page, and the client on the browser's WebSocket, with one in Node.

import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import { equal, is, match } from "uvu/assert";
import { bundle } from "../../scripts/bundle.mjs";
import { joinRoom } from "../../src/cluster/rendezvous/client.ts";
import { parseLink } from "../../src/cluster/rendezvous/link.ts";
import type { Rendezvous } from "../../src/cluster/rendezvous/open-room.ts";
import { startRendezvous } from "../../src/cluster/rendezvous/server.ts";
import { planOf } from "../unit/rendezvous-bench.ts";
import { openBrowser } from "./page.ts";

type Client = typeof import("../../src/cluster/rendezvous/client.ts");

const root = process.cwd();
const timeoutMs = 60_000;
let browser: Awaited<ReturnType<typeof openBrowser>>;
let rendezvous: Rendezvous;
const asked: string[] = [];

test.before(async () => {
  mkdirSync(join(root, "build"), { recursive: true });
  const folder = mkdtempSync(join(root, "build/rendezvous-"));
  const outfile = join(folder, "client.js");
  await bundle({ entryPoints: ["src/cluster/rendezvous/client.ts"], platform: "browser", outfile });
  const body = readFileSync(outfile);
  rmSync(folder, { recursive: true });
  browser = await openBrowser({ root });
  rendezvous = await startRendezvous({
    ...{ host: "127.0.0.1", port: 0, plan: planOf([2], "trains <b>two</b> minutes"), part: "/part" },
    pages(path) {
      asked.push(path);
      return path === "/client.js" ? { type: "text/javascript", body } : undefined;
    },
  });
});

test.after(async () => {
  await browser?.close();
  await rendezvous?.close();
});

test("a room's page says what it runs and who is there, as text, and hands the secret on after a #", async () => {
  const { use, close } = await browser.openPage();
  const ada = await joinRoom({
    ...parseLink(rendezvous.joinUrl),
    name: "<img src=x onerror=alert(1)>",
    adapter: "GPU",
  });
  try {
    await use(
      async (page) => {
        await page.goto(rendezvous.joinUrl);
        await page.waitForSelector("li");
        is(await page.textContent("#about"), "trains <b>two</b> minutes");
        is(await page.textContent("#mesh"), "1d, 2 ranks");
        equal(await page.locator("li").allTextContents(), ["<img src=x onerror=alert(1)>, GPU: here"]);
        const { secret } = parseLink(rendezvous.joinUrl);
        is(await page.getAttribute("#take", "href"), `${new URL("/part?room=/", rendezvous.url)}#${secret}`);
        equal(new Set(asked), new Set(["/", "/room.js"]), "no address that was asked for has the secret");
        is(await page.evaluate(() => crossOriginIsolated), true);
        void ada.agree().catch(() => {});
        await page.waitForFunction(() => document.querySelector("li")?.textContent?.endsWith("agreed"));
        ada.leave();
        await page.waitForFunction(() => !document.querySelector("li"));
        rendezvous.propose(planOf([2], "something else"));
        await page.waitForFunction(() => document.querySelector("#about")?.textContent === "something else");
      },
      { timeoutMs },
    );
  } finally {
    ada.leave();
    await close();
  }
});

test("a page with a wrong secret is told so and shows nothing of the room", async () => {
  const { use, close } = await browser.openPage();
  try {
    await use(
      async (page) => {
        await page.goto(`${rendezvous.url}#wrong-horse-battery`);
        await page.waitForFunction(() => document.querySelector("#state")?.textContent?.includes("secret"));
        match((await page.textContent("#state")) ?? "", /^The room says: the secret is wrong; use the whole link/);
        is(await page.isVisible("#part"), false);
        is(await page.textContent("#about"), "");
      },
      { timeoutMs },
    );
  } finally {
    await close();
  }
});

test("a page and a terminal join one room, start together, and signal to each other", async () => {
  const { use, close } = await browser.openPage();
  const place = parseLink(rendezvous.joinUrl);
  const ben = await joinRoom({ ...place, name: "Ben", adapter: "none" });
  try {
    const heard = ben.agree().then(
      ({ rank, size, signalling }) =>
        new Promise((resolve) => {
          signalling.listen((from, data) => {
            signalling.send(from, { answer: data });
            resolve({ rank, size, from, data });
          });
        }),
    );
    const answered = await use(
      async (page) => {
        await page.goto(rendezvous.url);
        return page.evaluate(async (place) => {
          const url = "/client.js";
          const { joinRoom } = (await import(url)) as Client;
          const room = await joinRoom({ ...place, name: "a page", adapter: "none" });
          const { rank, signalling } = await room.agree();
          const answer = new Promise((resolve) => signalling.listen((from, data) => resolve({ rank, from, data })));
          signalling.send(0, "from the page");
          return answer;
        }, place);
      },
      { timeoutMs },
    );
    equal(await heard, { rank: 0, size: 2, from: 1, data: "from the page" });
    equal(answered, { rank: 1, from: 0, data: { answer: "from the page" } });
  } finally {
    ben.leave();
    await close();
  }
});

test.run();
