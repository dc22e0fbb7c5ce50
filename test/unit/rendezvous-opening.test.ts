// Rooms that pages open: what a server gives to whom, by bare requests.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import { equal, is, match, not, ok, throws } from "uvu/assert";
import { UserError } from "../../src/backend/errors.ts";
import { type DemoServerOptions, startDemoServer } from "../../src/cli/demo-server.ts";
import { portNumber } from "../../src/cli/served.ts";
import { joinRoom } from "../../src/cluster/rendezvous/client.ts";
import { parseLink } from "../../src/cluster/rendezvous/link.ts";
import type { RoomServer } from "../../src/cluster/rendezvous/open-room.ts";
import { isLoopback } from "../../src/cluster/rendezvous/opening.ts";
import { rejects, until } from "./rendezvous-server.ts";

const folder = mkdtempSync(join(tmpdir(), "shardgrad-demo-"));
test.before(() => {
  mkdirSync(join(folder, "together"));
  for (const path of ["index.html", "together/index.html"])
    writeFileSync(join(folder, path), `<!doctype html><html><head><title>${path}</title></head></html>`);
});
test.after(() => rmSync(folder, { recursive: true }));

const text = "the wolf, the goat and the cabbage cross the river; ".repeat(10);
const wanted = {
  ...{ layout: "1d", dims: [2], tokenizer: "char", text, textName: "a riddle" },
  config: { model_type: "gpt2", vocab_size: new Set(text).size, n_positions: 8, n_embd: 8, n_layer: 1, n_head: 2 },
  parameters: {
    ...{
      batch: 2,
      context: 8,
      steps: 3,
      learningRate: 1e-3,
      minLearningRate: 1e-4,
      warmup: 0,
      beta1: 0.9,
      beta2: 0.99,
    },
    ...{ weightDecay: 0.1, clip: 1, dropout: 0, accumulate: 1, recompute: false, seed: 1 },
    ...{ evalEvery: 0, evalBatches: 1, sampleTokens: 0 },
  },
};

async function serving(
  options: Partial<DemoServerOptions>,
  work: (server: RoomServer) => Promise<void>,
): Promise<void> {
  const server = await startDemoServer({ folder, host: "127.0.0.1", port: 0, share: false, ...options });
  try {
    await work(server);
  } finally {
    await server.close();
  }
}

/** A POST as a page of `origin` would send it; `undefined` leaves a header out. */
function post(
  { localUrl }: RoomServer,
  body: unknown,
  { origin = localUrl.slice(0, -1), type = "application/json", ...more }: Record<string, string | undefined> = {},
): Promise<{ status: number; error?: string; joinUrl?: string }> {
  const given = { Origin: origin, "Content-Type": type, ...more };
  const headers = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== "none"));
  return new Promise((resolve, reject) => {
    const sent = httpRequest(new URL("rooms", localUrl), {
      method: "POST",
      headers: headers as Record<string, string>,
    });
    sent.on("error", reject);
    sent.on("response", async (response) => {
      let answer = "";
      for await (const piece of response) answer += piece;
      resolve({ status: response.statusCode ?? 0, ...JSON.parse(answer) });
    });
    sent.end(typeof body === "string" ? body : JSON.stringify(body));
  });
}

test("a page of the server opens a room: its link lets in, its address leads to the page, its text is that of the plan", () =>
  serving({}, async (server) => {
    const { status, joinUrl = "" } = await post(server, wanted);
    is(status, 201);
    match(joinUrl, new RegExp(`^${server.origin}/room/[0-9a-f]{10}#[\\w-]{22}$`));
    const { url, secret } = parseLink(joinUrl);
    const page = await fetch(url, { redirect: "manual" });
    is(page.status, 302);
    is(page.headers.get("location"), `/together/?room=${url.split("/").at(-1)}`);
    const room = await joinRoom({ url, secret, name: "Ada", adapter: "" });
    equal(room.plan.dims, [2]);
    match(room.plan.about, /^Trains a gpt2 of 1,\d{3} parameters on a riddle for 3 steps\. Each rank receives up to/);
    const { text: planned } = JSON.parse(room.plan.options);
    is(await (await fetch(new URL(planned.path, url))).text(), text);
    room.leave();
    await rejects(joinRoom({ url, secret: "wrong-horse-battery", name: "Eve", adapter: "" }), /the secret is wrong/);
  }));

test("the page is told that there are rooms, and how others reach them; a link to a room that is gone says so", () =>
  serving({ publicUrl: "https://lab.example" }, async (server) => {
    const html = await (await fetch(new URL("together/", server.localUrl))).text();
    ok(html.includes('<head>\n<meta name="shardgrad-rooms" content="https://lab.example">'), html);
    not.match(await (await fetch(server.localUrl)).text(), /shardgrad-rooms/);
    const url = `${server.localUrl}room/0123456789`;
    await rejects(joinRoom({ url, secret: "wrong-horse-battery", name: "Eve", adapter: "" }), /this room is closed/);
  }));

test("who is no page of the server opens nothing: other origins, none, names that could lead here, other types", () =>
  serving({}, async (server) => {
    const { port } = new URL(server.origin);
    const strangers = [
      "https://evil.example",
      `http://evil.example:${port}`,
      "null",
      "none",
      `http://127.0.0.1:${Number(port) + 1}`,
    ];
    for (const origin of strangers) {
      const { status, error = "" } = await post(server, wanted, { origin });
      is(status, 403, origin);
      match(error, /opened by this server's own pages alone/);
    }
    // A stranger's name that was made to lead to this machine.
    is(
      (await post(server, wanted, { origin: `http://evil.example:${port}`, Host: `evil.example:${port}` })).status,
      403,
    );
    is((await post(server, wanted, { origin: `http://localhost:${port}`, Host: `localhost:${port}` })).status, 201);
    for (const type of ["text/plain", "application/jsonp", "none"])
      is((await post(server, wanted, { type })).status, 415, type);
    const { localUrl } = server;
    is((await fetch(new URL("together/", localUrl), { method: "POST" })).status, 405);
    is((await fetch(new URL("rooms", localUrl))).status, 404);
  }));

test("other machines open rooms only where they may: behind a proxy nobody is known to be at this one", async () => {
  for (const publicUrl of [undefined, "https://lab.example"])
    for (const share of [false, true])
      await serving({ publicUrl, share }, async (server) => {
        const { status, error = "" } = await post(server, wanted, { origin: server.origin });
        is(status, publicUrl && !share ? 403 : 201);
        if (status === 403) match(error, /opened on the machine that runs the server; start it with --share/);
      });
  for (const address of ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]) ok(isLoopback(address), address);
  for (const address of ["192.168.1.5", "::ffff:192.168.1.5", "fe80::1", "1.127.0.1", "", undefined])
    not.ok(isLoopback(address), address);
});

test("what is too large, cut off or no JSON, and what trains nothing, is refused in a sentence", () =>
  serving({ opening: { bodyBytes: 4096 } }, async (server) => {
    const large = JSON.stringify({ ...wanted, text: "x".repeat(5000) });
    is((await post(server, large)).status, 413);
    // Without saying how much comes.
    is((await post(server, large, { "Transfer-Encoding": "chunked" })).status, 413);
    is((await post(server, "{")).status, 400);
    const bad: [change: object, error: RegExp][] = [
      [{ text: 3 }, /no text with a name/],
      [{ dims: "2" }, /no mesh/],
      [{ dims: [3] }, /3 ranks; use 3 .*heads/],
      [{ dims: [64] }, /at most 16/],
      [{ dims: [-1] }, /need P, q x q/],
      [{ layout: "3d" }, /got layout 3d/],
      [{ parameters: { ...wanted.parameters, batch: "2" } }, /not those of a training run/],
      [{ parameters: undefined }, /not those of a training run/],
      [{ config: { ...wanted.config, n_layer: 1e9 } }, /layers/],
      [{ config: { ...wanted.config, vocab_size: 3 } }, /different characters, the config's vocab_size is 3/],
      [{ config: null }, /config/],
      [{ text: "ab" }, /different characters/],
      [{ text: "", config: wanted.config }, /empty/],
    ];
    for (const [change, error] of bad) {
      const answer = await post(server, { ...wanted, ...change });
      is(answer.status, 422, JSON.stringify(change));
      match(answer.error ?? "", error);
    }
    for (const value of ["null", "[]", "3"]) is((await post(server, value)).status, 422);
    is((await post(server, wanted)).status, 201);
  }));

test("there are at most as many rooms as the server has, and few requests at once from one address", () =>
  serving({ mostRooms: 2 }, async (server) => {
    for (const status of [201, 201, 422]) is((await post(server, wanted)).status, status);
    const rest = await Promise.all(Array.from({ length: 110 }, () => post(server, wanted)));
    ok(rest.some(({ status }) => status === 429));
  }));

test("a room without ranks is closed after a while, one with a rank is not, and its text goes with it", () =>
  serving({ opening: { emptyMs: 1000 } }, async (server) => {
    const [empty, used] = [(await post(server, wanted)).joinUrl ?? "", (await post(server, wanted)).joinUrl ?? ""];
    const ada = await joinRoom({ ...parseLink(used), name: "Ada", adapter: "" });
    const reasons: string[] = [];
    const watcher = await joinRoom({
      ...{ ...parseLink(empty), name: "Ben", adapter: "", role: "watcher", retryMs: 1 },
      events: { lost: ({ message }) => reasons.push(message) },
    });
    const { text: planned } = JSON.parse(watcher.plan.options);
    const textUrl = new URL(planned.path, server.localUrl);
    await until(() => reasons.length > 0);
    match(reasons[0], /this room is closed/);
    is((await fetch(textUrl)).status, 404);
    const cleo = await joinRoom({ ...parseLink(used), name: "Cleo", adapter: "", role: "watcher" });
    is(cleo.members.length, 2);
    cleo.leave();
    ada.leave();
  }));

test("a port that is taken, and pages that are not built, are told in a sentence", () =>
  serving({}, async ({ origin }) => {
    const { port } = new URL(origin);
    const started = { host: "127.0.0.1", port: Number(port), share: false };
    await rejectsUser(startDemoServer({ ...started, folder }), new RegExp(`^port ${port} of 127.0.0.1 is taken; use`));
    const empty = join(folder, "together");
    rmSync(join(empty, "index.html"));
    await rejectsUser(
      startDemoServer({ ...started, folder: empty }),
      /^the demo pages are not built: .* run npm run build:demos$/,
    );
  }));

test("a port that is none is refused with what is needed", () => {
  is(portNumber("8640", { fallback: 1 }), 8640);
  for (const text of ["", "x", "-1", "65536", "1e3", "123456"])
    throws(() => portNumber(text, { fallback: 8640 }), /^got --port .*, need 0 to 65535; the default is 8640$/);
});

async function rejectsUser(work: Promise<unknown>, pattern: RegExp): Promise<void> {
  const error = await work.then(
    () => new Error("nothing was refused"),
    (reason: unknown) => reason as Error,
  );
  ok(error instanceof UserError, String(error));
  match(error.message, pattern);
}

test.run();
