// Channels over WebRTC between ranks of this process, on node-datachannel: messages of every size, peers that send what is no message, and
// ends of all kinds.

import { RTCPeerConnection as NodePeerConnection } from "node-datachannel/polyfill";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { releaseWebRtc } from "../../src/comm/webrtc.ts";
import { chunkBytes, RtcChannel } from "../../src/comm/webrtc-channel.ts";
import { content, exchange, inbox, same, sizes } from "./webrtc-messages.ts";
import { connectTwo } from "./webrtc-ranks.ts";

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

test("a frame of a 64 KB tensor takes one chunk and is not copied, a byte more two; a peer may send shorter ones", async () => {
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
  raw.send(chunk([1, 0, 3], 3).fill(7, 12));
  await count(2);
  assert.equal([...messages[1]], [7, 7, 7]);
  assert.is(messages[1].byteOffset, 12, "what comes in one chunk stays where it is");
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

test.after(releaseWebRtc);
test.run();
