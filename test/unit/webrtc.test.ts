// Ranks of this process that connect over WebRTC, on node-datachannel: through a rendezvous that misbehaves, with ranks that do not come,
// and what is left afterwards.

import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { bundle } from "../../scripts/bundle.mjs";
import type { Backend } from "../../src/backend/backend.ts";
import { createCpuBackend } from "../../src/backend/cpu/backend.ts";
import { CommunicationError, type Link } from "../../src/comm/link.ts";
import { runRanks } from "../../src/comm/loopback.ts";
import { ProcessGroup } from "../../src/comm/process-group.ts";
import { RemoteLink } from "../../src/comm/remote.ts";
import { connectRanks, releaseWebRtc } from "../../src/comm/webrtc.ts";
import { parseSignal } from "../../src/comm/webrtc-signal.ts";
import { constant } from "../../src/tensor/tensor.ts";
import { randomNumbers, values } from "../parallel/ranks.ts";
import { content, inbox, same } from "./webrtc-messages.ts";
import { connectAll, connectTwo, rendezvous } from "./webrtc-ranks.ts";

test("a rendezvous that repeats, shuffles, delays and loses what it carries connects five ranks all the same", async () => {
  const next = randomNumbers(7);
  const seen = new Set<string>();
  const meeting = rendezvous(({ from, to, data }, deliver) => {
    // The first of each kind between two ranks is lost.
    const kind = `${from} ${to} ${data.kind}`;
    if (!seen.has(kind) && next() < 0.4) {
      seen.add(kind);
      return;
    }
    seen.add(kind);
    for (let times = 1 + Math.floor(3 * next()); times > 0; times--) setTimeout(deliver, 60 * next());
  });
  const all = await connectAll(5, meeting);
  for (const [rank, channels] of all.entries()) {
    assert.is(channels[rank], undefined);
    for (const [other, channel] of channels.entries()) channel?.send(content(10 + rank, other));
  }
  for (const [rank, channels] of all.entries())
    for (const [other, channel] of channels.entries()) {
      if (!channel) continue;
      const { messages, count } = inbox(channel);
      await count(1);
      assert.ok(same(messages[0], content(10 + other, rank)), `from rank ${other} to rank ${rank}`);
    }
  for (const channel of all.flat()) channel?.close();
});

const offers = {
  text: "hello",
  bare: "v=0\r\n",
  "no key":
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n",
  audio:
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n",
};

test("garbage in the rendezvous, before, among and after the real signals, neither connects nor breaks anything", async () => {
  const garbage: unknown[] = [undefined, null, 0, "offer", [], {}, new Uint8Array(4), { kind: "offer" }];
  for (const kind of ["offer", "answer"])
    for (const sdp of [...Object.values(offers), "", "x".repeat(100_000), 7, null])
      for (const attempt of [-1, 0, 1.5, "1", Date.now() - 5000, Date.now() + 1_000_000])
        garbage.push({ kind, attempt, sdp });
  for (const candidate of ["", "nonsense", "candidate:1 1 UDP 1 999.1.1.1 99999 typ host", "a".repeat(5000), {}])
    for (const attempt of [0, Date.now()]) garbage.push({ kind: "candidate", attempt, candidate, mid: "0" });
  let attempt = 0;
  const kinds = new Set<string>();
  const meeting = rendezvous(({ data }, deliver) => {
    attempt = data.attempt;
    queueMicrotask(deliver);
    if (!kinds.has(data.kind)) pour();
    kinds.add(data.kind);
  });
  const pour = () => {
    for (const [to, from] of [
      [0, 1],
      [1, 0],
      [0, 9],
      [1, -1],
    ])
      for (const data of garbage) {
        meeting.deliver(to, { from, data });
        if (typeof data === "object" && data && "candidate" in data)
          meeting.deliver(to, { from, data: { ...data, attempt } });
        // The numbers of real attempts, too: a description that is none must not take the real one's place.
        if (typeof data === "object" && data && "sdp" in data && data.sdp !== offers.audio)
          meeting.deliver(to, { from, data: { ...data, attempt } });
      }
  };
  const channels = await connectTwo(meeting);
  pour();
  const boxes = channels.map(inbox);
  channels[0].send(content(1000, 1));
  channels[1].send(content(1000, 2));
  await Promise.all(boxes.map(({ count }) => count(1)));
  for (const channel of channels) channel.close();
});

test("a signal is taken exactly as it may be, bounded in every part", () => {
  const candidate = { kind: "candidate", attempt: 3, candidate: "candidate:1", mid: "0" };
  assert.equal(parseSignal(candidate), candidate);
  assert.equal(parseSignal({ kind: "offer", attempt: 3, sdp: "v=0", more: 1 }), {
    kind: "offer",
    attempt: 3,
    sdp: "v=0",
  });
  for (const wrong of [
    { ...candidate, mid: "m".repeat(17) },
    { ...candidate, candidate: "c".repeat(1025) },
    { ...candidate, attempt: 2 ** 53 },
    { ...candidate, kind: "toString" },
    { kind: "offer", attempt: 3, sdp: "s".repeat(16_385) },
    { kind: "offer", attempt: 3, candidate: "c", mid: "0" },
  ])
    assert.is(parseSignal(wrong), undefined);
});

test("a rank that never answers, one that has no way to us, and one that comes late", async () => {
  const silent = rendezvous();
  const present = [0, 2].map((rank) =>
    connectRanks({ rank, size: 3, signalling: silent.of(rank), timeoutMs: 1500 }).then(
      () => assert.unreachable(),
      (error: unknown) => error,
    ),
  );
  for (const [i, error] of (await Promise.all(present)).entries()) {
    assert.instance(error, CommunicationError);
    const { message, rank } = error as CommunicationError;
    assert.is(rank, 1);
    assert.match(message, `rank 1 has said nothing to rank ${[0, 2][i]} for 1.5 s`);
    assert.match(message, /start all ranks/);
  }
  // Each hears the other's description, but of no address.
  const blind = rendezvous(({ data }, deliver) => data.kind !== "candidate" && deliver());
  for (const [iceServers, advice] of [
    [[], "give iceServers (--ice) a STUN server, or a TURN server"],
    [[{ urls: "stun:127.0.0.1:9" }], "give iceServers (--ice) a TURN server"],
    [
      [{ urls: ["turn:127.0.0.1:9"], username: "1:a", credential: "b@" }],
      "turn:127.0.0.1:9 gave rank 0 and rank 1 no address: see that it is reached from there",
    ],
  ] as const) {
    const results = await Promise.allSettled(
      [0, 1].map((rank) => connectRanks({ rank, size: 2, signalling: blind.of(rank), timeoutMs: 1000, iceServers })),
    );
    for (const [rank, result] of results.entries()) {
      const error = result.status === "rejected" ? result.reason : undefined;
      assert.match(String(error), `CommunicationError: rank ${rank} and rank ${1 - rank} know of each other`);
      assert.match(String(error), advice);
      assert.is(error.rank, 1 - rank);
    }
  }
  const meeting = rendezvous();
  const early = connectRanks({ rank: 0, size: 2, signalling: meeting.of(0) });
  await new Promise((resolve) => setTimeout(resolve, 300));
  const [late] = await connectRanks({ rank: 1, size: 2, signalling: meeting.of(1) });
  (await early)[1]?.close();
  assert.is(await inbox(late!).closed, "it has closed its side");
});

test("only the peers that are asked for are connected; ranks that do not exist and servers that are none are refused", async () => {
  const meeting = rendezvous();
  const peers = [[1], [0, 2], [1]];
  const all = await Promise.all(
    peers.map((peers, rank) => connectRanks({ rank, size: 3, signalling: meeting.of(rank), peers })),
  );
  assert.equal(
    all.map((channels) => channels.map(Boolean)),
    [
      [false, true, false],
      [true, false, true],
      [false, true, false],
    ],
  );
  for (const channel of all.flat()) channel?.close();
  const refusal = async (options: object) => {
    try {
      await connectRanks({ rank: 0, size: 2, signalling: meeting.of(0), ...options });
    } catch (error) {
      return String(error);
    }
    return "connected";
  };
  assert.is(await refusal({ rank: 2 }), "RangeError: rank 2 of 2: ranks go from 0 to 1");
  assert.is(await refusal({ peers: [0] }), "RangeError: rank 0 of 2 cannot be connected to rank 0");
  assert.match(
    await refusal({ iceServers: [{ urls: "http://x" }] }),
    /^SyntaxError: ICE servers http:\/\/x: .*use stun:HOST/,
  );
  const told = await refusal({ iceServers: [{ urls: "turn:ada:hidden@127.0.0.1:9" }] });
  assert.match(told, /^SyntaxError: ICE servers turn:\.\.\.@127\.0\.0\.1:9: /);
});

/** Sums of three lengths on every rank, as bits. */
async function sums({ link, backend }: { link: Link; backend: Backend }): Promise<Uint32Array[]> {
  const group = new ProcessGroup({ name: "all", ranks: Array.from({ length: link.size }, (_, rank) => rank), link });
  const results: Uint32Array[] = [];
  for (const length of [1, 77, 60_001]) {
    const data = values(length, length + link.rank);
    using x = constant(backend, { data, shape: [length], purpose: "activations" });
    using sum = await group.allReduce(x, { combine: "sum", purpose: "test" });
    results.push(new Uint32Array(((await sum.read()) as Float32Array).slice().buffer));
  }
  return results;
}

test("sums of two and of four ranks have the bits that they have in one process", async () => {
  for (const size of [2, 4]) {
    const shared = createCpuBackend();
    const expected = await runRanks({ size, backend: shared }, sums);
    shared.dispose();
    const got = await Promise.all(
      (await connectAll(size)).map(async (channels, rank) => {
        const backend = createCpuBackend();
        const link = new RemoteLink({ rank, channels, backend });
        const results = await sums({ link, backend });
        await link.end();
        link.close();
        assert.is(backend.memory.total, 0);
        backend.dispose();
        return results;
      }),
    );
    assert.equal(got, expected);
  }
});

const openAndClose = `
import { readdirSync } from "node:fs";
import { connectRanks } from "./src/comm/webrtc.ts";

const descriptors = () => process.platform === "linux" ? readdirSync("/proc/self/fd").length : 0;
async function round(timeoutMs) {
  const takes = [];
  const signalling = (rank) => ({
    send: (to, data) => takes[to] && setImmediate(() => takes[to](rank, data)),
    listen: (take) => { if (timeoutMs !== 1 || rank === 0) takes[rank] = take; },
  });
  const [a, b] = await Promise.allSettled([0, 1].map((rank) => connectRanks({ rank, size: 2, signalling: signalling(rank), timeoutMs })));
  if (a.status === "rejected" || b.status === "rejected") return 0;
  const left = new Promise((closed) => b.value[0].listen({ message() {}, closed }));
  a.value[1].close();
  await left;
  return 1;
}
await round(60_000);
const before = descriptors();
let opened = 0;
for (let i = 0; i < 50; i++) opened += await round(60_000);
for (let i = 0; i < 10; i++) opened += await round(1);
for (let tries = 0; descriptors() > before && tries < 200; tries++) await new Promise((resolve) => setTimeout(resolve, 50));
console.log(JSON.stringify({ opened, more: Math.max(0, descriptors() - before) }));
`;

/** Bundles a program and gives its path to `work`. */
async function bundled<T>(contents: string, work: (path: string) => T): Promise<Awaited<T>> {
  mkdirSync("build", { recursive: true });
  const folder = mkdtempSync(join(process.cwd(), "build/webrtc-"));
  const outfile = join(folder, "program.mjs");
  try {
    await bundle({ stdin: { contents, resolveDir: process.cwd(), loader: "ts" }, outfile });
    return await work(outfile);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("after 50 connections opened and closed, and 10 that never opened, no socket is left and the process ends by itself", async () => {
  const { status, signal, stdout, stderr } = await bundled(openAndClose, (path) =>
    spawnSync(process.execPath, [path], { timeout: 120_000 }),
  );
  assert.is(signal, null, "it did not end");
  assert.is(status, 0, String(stderr));
  assert.equal(JSON.parse(String(stdout)), { opened: 50, more: 0 });
});

test("in a worker thread, where node-datachannel would end the process, connecting is refused", async () => {
  const source = `
    import { parentPort } from "node:worker_threads";
    import { connectRanks } from "./src/comm/webrtc.ts";
    const signalling = { send() {}, listen() {} };
    connectRanks({ rank: 0, size: 2, signalling }).catch((error) => parentPort.postMessage(String(error)));
  `;
  const said = await bundled(source, (path) => once(new Worker(path), "message"));
  assert.match(said[0], "Error: there is no WebRTC in workers: connect in the page, or in the main thread");
});

test.after(releaseWebRtc);
test.run();
