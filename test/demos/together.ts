// Rooms of the Together page: a server of them, and what a person does there.

import type { BrowserContextOptions, Page } from "playwright-core";
import { type DemoServerOptions, startDemoServer } from "../../src/cli/demo-server.ts";
import type { RoomServer } from "../../src/cluster/rendezvous/open-room.ts";
import { type Demo, type DemoPage, openDemo } from "./demo.ts";

export interface Together {
  readonly demo: Demo;
  readonly server: RoomServer;
  /** A tab of a visitor of its own. */
  open(path: string, options?: BrowserContextOptions): Promise<DemoPage>;
  close(): Promise<void>;
}

export async function together(options: Partial<DemoServerOptions> = {}): Promise<Together> {
  const demo = await openDemo("start", "together");
  const server = await startDemoServer({ folder: demo.folder, host: "localhost", port: 0, share: false, ...options });
  return {
    ...{ demo, server },
    open: (path, more) => demo.open(`${server.localUrl}${path}`, more),
    async close() {
      await demo.close();
      await server.close();
    },
  };
}

/** Waits until the page says so; what it says instead is the error. */
export async function says(page: Page, text: string): Promise<void> {
  try {
    await page.getByText(text).first().waitFor({ timeout: 30_000 });
  } catch {
    const said = await page.evaluate(() => document.querySelector("main")?.textContent);
    throw new Error(`the page does not say "${text}", but: ${said}`);
  }
}

/** Pastes a text, opens a room for it, and gives the link. */
export async function openRoom(page: Page, text: string): Promise<string> {
  await page.getByRole("button", { name: "Paste a text" }).click();
  await page.getByLabel("Your text").fill(text);
  await page.getByRole("button", { name: "Use this text" }).click();
  await says(page, "a pasted text:");
  await page.getByRole("button", { name: "Open the room" }).click();
  await says(page, "What will run");
  return page.getByLabel("Link: who has it").inputValue();
}

export async function agree(page: Page, name: string): Promise<void> {
  await page.getByLabel("What others see this device as").fill(name);
  await page.getByRole("button", { name: "Rename" }).click();
  await says(page, `${name} (this device)`);
  await page.getByRole("button", { name: "Agree" }).click();
}
