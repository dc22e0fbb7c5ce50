// The Together page's states: how they look and read, by keyboard alone, and what it says when something is not as it should be.

import { gzipSync } from "node:zlib";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { joinRoom } from "../../src/cluster/rendezvous/client.ts";
import { parseLink } from "../../src/cluster/rendezvous/link.ts";
import { sheepAndGoats } from "../network/command.ts";
import { checkAccessible, checkFits, takePictures } from "./demo.ts";
import { agree, openRoom, says, type Together, together } from "./together.ts";

/** As others would reach it: its link has a QR code then. */
const publicUrl = "http://lab.example:8640";

let rooms: Together;
test.before(async () => {
  rooms = await together({ publicUrl, share: true });
});
test.after(() => rooms?.close());

/** A link's own way to the server of this test. */
const local = (link: string) => link.replace(`${publicUrl}/`, rooms.server.localUrl);

test("opening, a room and its run fit at 360 and 1920 px, in light and dark, and axe has nothing to say", async () => {
  const [ada, ben] = [await rooms.open("together/?mesh=2x2x2"), await rooms.open("")];
  await ada.use(async (page) => {
    const look = async (name: string) => {
      await checkAccessible(page);
      for (const width of [360, 1920]) {
        await page.setViewportSize({ width, height: 800 });
        await checkFits(page);
        await takePictures(page, `together-${name}`);
      }
    };
    await says(page, "GFLOP/s");
    await says(page, "receives");
    await look("opening");
    await page.goto(`${rooms.server.localUrl}together/?steps=12`);
    const link = await openRoom(page, sheepAndGoats);
    await agree(page, "Ada");
    await ben.page.goto(local(link));
    await says(ben.page, "It begins when 2 devices have agreed");
    await look("room");
    await agree(ben.page, "Ben");
    await says(page, "The run is done");
    await says(page, "✓ done");
    await look("run");
  });
  await ada.close();
  await ben.close();
});

test("by keyboard alone a room is opened, its link copied, agreed to and left", async () => {
  const { use, close } = await rooms.open("together/?mesh=2x2&steps=10", {
    permissions: ["clipboard-read", "clipboard-write"],
  });
  await use(async (page) => {
    await says(page, "shardgrad's sources:");
    /** Tabs on until that is reached. */
    const reach = async (name: RegExp) => {
      for (let i = 0; i < 60; i++) {
        await page.keyboard.press("Tab");
        const named = await page.evaluate(() => {
          const at = document.activeElement as HTMLInputElement | null;
          return at?.labels?.[0]?.textContent ?? at?.textContent ?? "";
        });
        if (name.test(named)) return;
      }
      throw new Error(`no Tab leads to ${name}`);
    };
    await reach(/2D, 2 × 2/);
    await page.keyboard.press("ArrowRight");
    await page.waitForURL(/mesh=2x2x2/);
    await reach(/^Tiny/);
    await page.keyboard.press("ArrowRight");
    await page.waitForURL(/model=small/);
    await reach(/^Steps/);
    await page.keyboard.press("ArrowLeft");
    await reach(/^Open the room/);
    await page.keyboard.press("Enter");
    await says(page, "It begins when 8 devices have agreed");
    await reach(/^Copy/);
    await page.keyboard.press("Enter");
    await says(page, "Copied.");
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    assert.is(copied, await page.getByLabel("Link: who has it").inputValue());
    await reach(/^Skip/);
    const { hash } = new URL(page.url());
    await page.keyboard.press("Enter");
    assert.is(new URL(page.url()).hash, hash, "the secret stays in the address");
    await reach(/^Agree/);
    await page.keyboard.press("Enter");
    await says(page, "Waiting for the others: 1 of 8 have agreed");
    await reach(/^Leave/);
    await page.keyboard.press("Enter");
    await says(page, "This device takes no part");
    await page.goBack();
    await says(page, "What to train");
    assert.ok(await page.getByRole("radio", { name: /2.5D, 2 × 2 × 2/ }).isChecked());
  });
  await close();
});

test("the link is told in full, as a QR code too; who has it sees who is there", async () => {
  const { use, close } = await rooms.open("together/");
  await use(async (page) => {
    const link = await openRoom(page, sheepAndGoats);
    assert.match(link, new RegExp(`^${publicUrl}/room/[0-9a-f]{10}#[\\w-]{22}$`));
    await page.getByRole("img", { name: "QR code of the link" }).waitFor();
    const { url, secret } = parseLink(local(link));
    const room = await joinRoom({ url, secret, name: "a phone", adapter: "a GPU, 900 GFLOP/s" });
    await says(page, "a GPU, 900 GFLOP/s");
    assert.equal(room.members.length, 2);
    assert.match(room.members[0].adapter, /^cpu, WebAssembly SIMD on \d+ threads?, [\d.e+]+ GFLOP\/s$/);
    room.leave();
    await says(page, "Open seat");
  });
  await close();
});

test("a wrong secret, none, a room that is closed, and no name of a room, each end in a sentence", async () => {
  const owner = await rooms.open("together/");
  const link = await owner.use((page) => openRoom(page, sheepAndGoats));
  const { url } = parseLink(local(link));
  const sentences: [address: string, says: string][] = [
    [`${url}#wrong-horse-battery`, "the secret is wrong; use the whole link"],
    [url, "no secret was given; use the whole link"],
    [`${rooms.server.localUrl}room/0123456789#wrong-horse-battery`, "this room is closed"],
    [`${rooms.server.localUrl}together/?room=//evil.example#x`, "What to train"],
  ];
  const visit = async ([address, text]: (typeof sentences)[number]) => {
    const { use, close } = await rooms.demo.open(address);
    await use(async (page) => {
      await says(page, text);
      assert.is(await page.getByRole("button", { name: "Join again" }).count(), 0, "it cannot help");
    });
    await close();
  };
  await Promise.all(sentences.map(visit));
  await owner.close();
});

test("a text that is too short for the model, or of a single character, is refused at once", async () => {
  const { page, close } = await rooms.open("together/");
  const paste = async (text: string) => {
    await page.getByLabel("Your text").fill(text);
    await page.getByRole("button", { name: "Use this text" }).click();
  };
  await page.getByRole("button", { name: "Paste a text" }).click();
  await paste("aaaa");
  await says(page, "at least two different characters");
  await page.getByRole("button", { name: "Paste a text" }).click();
  await paste("abcd");
  await says(page, "a pasted text: 4 characters");
  await says(page, "It has 4 characters, of which a tenth is kept for validation");
  const open = page.getByRole("button", { name: "Open the room" });
  assert.ok(await open.isDisabled());
  const enough = Number(/A text of (\d+) characters is enough/.exec((await page.textContent("main")) ?? "")?.[1]);
  await page.getByRole("button", { name: "Paste a text" }).click();
  await paste("abcd".repeat(enough).slice(0, enough));
  await says(page, `a pasted text: ${enough} characters`);
  await page.getByText("The text is too short").waitFor({ state: "detached" });
  assert.not(await open.isDisabled());
  await close();
});

test("a host of files says that it has no rooms, and how to get one; what one would cost is told all the same", async () => {
  const { use, close } = await rooms.demo.open("together/?mesh=4");
  await use(async (page) => {
    await says(page, "This host has no rooms");
    await says(page, "npx shardgrad demo --host 0.0.0.0");
    await says(page, "Each device receives, a step");
    assert.ok(await page.getByRole("button", { name: "Open the room" }).isDisabled());
  });
  await close();
});

test("all that the page loads, its worker and threads included, is below 400 KB", async () => {
  const { page, close } = await rooms.demo.open(undefined);
  const sizes = new Map<string, number>();
  page.on("response", async (response) => {
    const { pathname } = new URL(response.url());
    if (/\.(js|css|html)$|\/$/.test(pathname)) sizes.set(pathname, gzipSync(await response.body()).length);
  });
  await page.goto(`${rooms.server.localUrl}together/?mesh=1&steps=10`);
  await openRoom(page, sheepAndGoats);
  await agree(page, "Ada");
  await says(page, "The run is done");
  const total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  assert.ok(total < 400_000, `${total} bytes: ${[...sizes].map((each) => each.join(" ")).join(", ")}`);
  assert.ok(sizes.size > 4, `only ${[...sizes.keys()].join(", ")} were seen`);
  await close();
});

test.run();
