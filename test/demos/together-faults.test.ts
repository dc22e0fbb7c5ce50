// What the Together page says when something breaks: the server, the thread that computes. Its console says so too, which is no failure here.

import type { Page } from "playwright-core";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { sheepAndGoats } from "../network/command.ts";
import { agree, openRoom, says, type Together, together } from "./together.ts";

let rooms: Together;
test.before(async () => {
  rooms = await together();
});
test.after(() => rooms?.close());

/** A tab whose console may complain. */
async function visitor(path: string): Promise<Page> {
  const { context, page } = await rooms.demo.open(undefined);
  await page.close();
  const tab = await context.newPage();
  await tab.goto(`${rooms.server.localUrl}${path}`);
  return tab;
}

const stepOf = async (page: Page): Promise<number> => {
  await says(page, " of 2,000");
  return page.getByRole("progressbar").evaluate((bar) => (bar as HTMLProgressElement).value);
};

test("a thread that crashes ends in a sentence on its page, and the others are told whose it was", async () => {
  const ada = await visitor("together/?steps=2000");
  const ben = await visitor("");
  const link = await openRoom(ada, sheepAndGoats);
  await agree(ada, "Ada");
  await ben.goto(link);
  await agree(ben, "Ben");
  await stepOf(ada);
  await stepOf(ben);
  const computing = ben.workers().find((worker) => worker.url().endsWith("/together/worker.js"));
  assert.ok(computing, "there is a worker");
  await computing.evaluate(() => {
    setTimeout(() => {
      throw new Error("out of luck");
    });
  });
  await says(ben, "out of luck. Reload this page to take part again.");
  await says(ada, "The run has ended because of Ben");
  await says(ada, "Waiting for the others: 1 of 2 have agreed");
  await ben.getByRole("button", { name: "Join again" }).click();
  await agree(ben, "Ben again");
  await stepOf(ben);
  await ada.context().close();
  await ben.context().close();
});

test("a server that is gone is told of, and the run goes on without it", async () => {
  const page = await visitor("together/?mesh=1&steps=2000");
  await openRoom(page, sheepAndGoats);
  await agree(page, "Ada");
  const before = await stepOf(page);
  await rooms.server.close();
  await says(page, "is lost: the rendezvous has ended; trying again");
  await page.waitForFunction((least) => (document.querySelector("progress")?.value ?? 0) > least, before, {
    polling: 200,
  });
  await says(page, "This device trains");
  await page.context().close();
});

test.run();
