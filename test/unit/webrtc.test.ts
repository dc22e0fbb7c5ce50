// Channels over WebRTC between ranks of this process, on node-datachannel: connecting through a rendezvous that
// misbehaves, messages of every size, peers that send what is no message, and ends of all kinds.

import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { RTCPeerConnection as NodePeerConnection } from "node-datachannel/polyfill";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { bundle } from "../../scripts/bundle.mjs";
import type { Backend } from "../../src/backend/backend.ts";
import { createCpuBackend } from "../../src/backend/cpu/backend.ts";
import type { Channel } from "../../src/comm/channel.ts";
import { CommunicationError, type Link } from "../../src/comm/link.ts";
import { runRanks } from "../../src/comm/loopback.ts";
import { ProcessGroup } from "../../src/comm/process-group.ts";
import { RemoteLink } from "../../src/comm/remote.ts";
import { connectRanks, releaseWebRtc, type Signalling } from "../../src/comm/webrtc.ts";
import { chunkBytes, RtcChannel } from "../../src/comm/webrtc-channel.ts";
import { parseSignal, type SignalData } from "../../src/comm/webrtc-signal.ts";
import { constant } from "../../src/tensor/tensor.ts";
import { randomNumbers, values } from "../parallel/ranks.ts";
import { content, exchange, inbox, same, sizes } from "./webrtc-messages.ts";

type Carry = (message: { from: number; to: number; data: SignalData }, deliver: () => void) => void;

/** A rendezvous for ranks of this process. What happens to a message is `carry`'s affair; it has become JSON on its
 *  way. */
function rendezvous(carry: Carry = (_, deliver) => queueMicrotask(deliver)) {
  const listeners = new Map<number, (from: number, data: unknown) => void>();
  const deliver = (to: number, { from, data }: { from: number; data: unknown }) => listeners.get(to)?.(from, data);
  const of = (rank: number): Signalling => ({
    send: (to, data) => {
      const text = JSON.stringify(data);
      carry({ from: rank, to, data }, () => deliver(to, { from: rank, data: JSON.parse(text) }));
    },
    listen: (take) => void listeners.set(rank, take),
  });
  return { of, deliver };
}

/** Each rank's channels, by rank. */
const connectAll = (size: number, meeting = rendezvous()) =>
  Promise.all(
    Array.from({ length: size }, (_, rank) =>
      connectRanks({ rank, size, signalling: meeting.of(rank), timeoutMs: 60_000 }),
    ),
  );

async function connectTwo(meeting = rendezvous()): Promise<[Channel, Channel]> {
  const [[, a], [b]] = await connectAll(2, meeting);
  return [a!, b!];
}

test("messages of 0 to 20 million bytes arrive whole and in order, both ways at once, in aligned buffers of their own", async () => {
  const [a, b] = await connectTwo();
  const wrong = await Promise.all([
    exchange(a, { box: inbox(a), mine: 0, theirs: 100 }),
    exchange(b, { box: inbox(b), mine: 100, theirs: 0 }),
  ]);
  assert.equal(wrong, [[], []]);
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  assert.ok(a.overheadBytes > 0 && a.overheadBytes < 0.01 * bytes, `${a.overheadBytes} bytes beside ${bytes}`);
  a.close();
  b.close();
});

test("20,000 small messages arrive in order; what comes before there is a listener waits for it", async () => {
  const [a, b] = await connectTwo();
  const count = 20_000;
  for (let i = 0; i < count; i++) a.send(new Uint8Array(Uint32Array.of(i).buffer).slice(0, 1 + (i % 4)));
  await a.flush();
  await new Promise((resolve) => setTimeout(resolve, 50));
  const { messages, count: come } = inbox(b);
  await come(count);
  for (const [i, bytes] of messages.entries()) {
    assert.is(bytes.length, 1 + (i % 4));
    assert.is(bytes[0], i & 255);
  }
  a.close();
  b.close();
});

test("what is sent before close() arrives, however much, and nothing after; either side may close, or both", async () => {
  for (const closing of [[0], [1], [0, 1]]) {
    const channels = await connectTwo();
    const boxes = channels.map(inbox);
    const [first] = closing;
    channels[first].send(content(6_000_000, 5));
    for (const side of closing) channels[side].close();
    channels[first].send(content(10, 6));
    await channels[first].flush();
    if (closing.length > 1) continue;
    const other = 1 - first;
    assert.is(await boxes[other].closed, "it has closed its side");
    assert.is(boxes[other].messages.length, 1);
    assert.ok(same(boxes[other].messages[0], content(6_000_000, 5)));
    channels[other].send(content(10, 7));
    await channels[other].flush();
    assert.is(boxes[first].messages.length, 0);
  }
});

test("flush waits until all has left, and returns when the channel is closed", async () => {
  const [a, b] = await connectTwo();
  const { messages, count, closed } = inbox(b);
  a.send(content(12_000_000, 1));
  let flushed = false;
  const flush = a.flush().then(() => {
    flushed = true;
  });
  await Promise.resolve();
  assert.is(flushed, false);
  await flush;
  await count(1);
  assert.is(messages[0].length, 12_000_000);
  b.send(content(30_000_000, 2));
  const cut = b.flush();
  a.close();
  assert.is(await closed, "it has closed its side");
  await cut;
  assert.throws(
    () => a.send({ length: 2 ** 31 + 1 } as Uint8Array<ArrayBuffer>),
    /at most 2147483648 go over a channel/,
  );
});

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

/** A channel and a bare data channel at its other end. */
async function bare(): Promise<{ channel: RtcChannel; raw: RTCDataChannel; end: () => void }> {
  const Connection = NodePeerConnection as unknown as typeof RTCPeerConnection;
  const [ours, theirs] = [new Connection({ iceServers: [] }), new Connection({ iceServers: [] })];
  for (const [from, to] of [
    [ours, theirs],
    [theirs, ours],
  ])
    from.addEventListener("icecandidate", ({ candidate }) => {
      if (candidate) setTimeout(() => to.addIceCandidate(candidate).catch(() => undefined), 20);
    });
  const come = new Promise<RTCDataChannel>((resolve) => {
    theirs.addEventListener("datachannel", ({ channel }) => resolve(channel));
  });
  const channel = new RtcChannel(ours, ours.createDataChannel("test"));
  const offer = await ours.createOffer();
  await ours.setLocalDescription(offer);
  await theirs.setRemoteDescription(offer);
  await ours.setRemoteDescription(await theirs.createAnswer());
  const raw = await come;
  await channel.opened;
  return { channel, raw, end: () => theirs.close() };
}

const chunk = ([message, index, length]: [number, number, number], contentBytes: number) => {
  const bytes = new Uint8Array(12 + contentBytes);
  const head = new DataView(bytes.buffer);
  for (const [i, value] of [message, index, length].entries()) head.setUint32(4 * i, value, true);
  return bytes;
};

test("a peer that sends what is no chunk, or chunks that make no message, is closed with the reason", async () => {
  const full = chunkBytes - 12;
  const cases: [string | Uint8Array<ArrayBuffer>, RegExp][] = [
    ["hello", /^it sent a text$/],
    [new Uint8Array(11), /^it sent a chunk of 11 bytes, which has no head$/],
    [chunk([1, 0, 4], 4), /^it sent chunk 0 of message 1 instead of 0 of 0$/],
    [chunk([0, 1, 4], 4), /^it sent chunk 1 of message 0 instead of 0 of 0$/],
    [chunk([0, 0, 4], 5), /^it sent a chunk of 5 bytes at 0 of a message of 4$/],
    [chunk([0, 0, 100_000], 0), /^it sent a chunk of 0 bytes at 0 of a message of 100000$/],
    [chunk([0, 0, 2 ** 32 - 1], full), /^it announced a message of 4294967295 bytes, at most 2147483648 are taken$/],
  ];
  for (const [sent, reason] of cases) {
    const { channel, raw, end } = await bare();
    const { messages, closed } = inbox(channel);
    raw.send(sent as string);
    assert.match(await closed, reason);
    assert.is(messages.length, 0);
    channel.send(new Uint8Array(4));
    await channel.flush();
    end();
  }
  for (const [second, reason] of [
    [chunk([0, 1, full + 5], 5), /^it announced 65553 bytes, then 65557 for the same message$/],
    [chunk([0, 0, full + 1], full), /^it sent chunk 0 of message 0 instead of 1 of 0$/],
  ] as const) {
    const { channel, raw, end } = await bare();
    const { messages, closed } = inbox(channel);
    raw.send(chunk([0, 0, full + 1], full));
    raw.send(second);
    assert.match(await closed, reason);
    assert.is(messages.length, 0);
    end();
  }
});

test("a frame of a 64 KB tensor takes one chunk, a byte more two; a peer may send shorter ones", async () => {
  const { channel, raw, end } = await bare();
  const { messages, count } = inbox(channel);
  const lengths: number[] = [];
  const come = new Promise<void>((resolve) => {
    raw.addEventListener("message", ({ data }) => lengths.push(data.byteLength) === 3 && resolve());
  });
  raw.binaryType = "arraybuffer";
  channel.send(content(16 + 65_536, 1));
  channel.send(content(16 + 65_537, 2));
  await come;
  assert.equal(lengths, [12 + 16 + 65_536, 12 + 16 + 65_536, 12 + 1]);
  assert.is(channel.overheadBytes, 3 * 12);
  for (const [i, length] of [4, 1, 5].entries()) raw.send(chunk([0, i, 10], length).fill(i, 12));
  await count(1);
  assert.equal([...messages[0]], [0, 0, 0, 0, 1, 2, 2, 2, 2, 2]);
  channel.close();
  end();
});

test("a peer that ends without a goodbye is noticed, whatever was under way", async () => {
  const { channel, raw, end } = await bare();
  const { messages, closed } = inbox(channel);
  raw.send(chunk([0, 0, 4], 4));
  raw.send(chunk([1, 0, 100_000], chunkBytes - 12));
  channel.send(new Uint8Array(50_000_000));
  const flushed = channel.flush();
  raw.addEventListener("message", end, { once: true });
  assert.match(await closed, /^it ended without a goodbye, or the network between failed$/);
  await flushed;
  assert.is(messages.length, 1);
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
