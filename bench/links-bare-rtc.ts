// A data channel and nothing else: 64 KB messages, sent as long as less than 4 MB wait, which is what channels over WebRTC are measured by.

import { inNode } from "../src/backend/node.ts";
import type { Case } from "./links-case.ts";

const chunkBytes = 65_536;
/** A browser refuses what is beyond 16 MB. */
const [pauseBytes, resumeBytes] = [4 << 20, 1 << 20];

export interface BareRtc {
  /** @returns milliseconds */
  round(each: Case): Promise<number>;
  close(): void;
}

/** Both ends are in this thread: workers have no WebRTC. */
export async function openBareRtc(): Promise<BareRtc> {
  const Connection = inNode()
    ? ((await import("node-datachannel/polyfill")).RTCPeerConnection as unknown as typeof RTCPeerConnection)
    : RTCPeerConnection;
  const [a, b] = [new Connection(), new Connection()];
  const found: [from: RTCPeerConnection, candidate: RTCIceCandidate][] = [];
  for (const each of [a, b])
    each.addEventListener("icecandidate", ({ candidate }) => {
      if (candidate?.candidate) add([each, candidate]);
    });
  // None before both are described: node-datachannel refuses them.
  let add = (each: (typeof found)[0]) => void found.push(each);
  const sender = a.createDataChannel("bare");
  const opened = new Promise<RTCDataChannel>((resolve) => {
    b.addEventListener("datachannel", ({ channel }) => resolve(channel));
  });
  await a.setLocalDescription(await a.createOffer());
  await b.setRemoteDescription(a.localDescription!);
  await b.setLocalDescription(await b.createAnswer());
  await a.setRemoteDescription(b.localDescription!);
  add = ([from, candidate]) => void (from === a ? b : a).addIceCandidate(candidate);
  for (const each of found) add(each);
  const receiver = await opened;
  if (sender.readyState !== "open") await event(sender, "open");
  sender.binaryType = "arraybuffer";
  receiver.binaryType = "arraybuffer";

  let received = 0;
  let groupBytes = 0;
  receiver.addEventListener("message", ({ data }: MessageEvent<ArrayBuffer>) => {
    received += data.byteLength;
    if (received < groupBytes) return;
    received -= groupBytes;
    receiver.send("answer");
  });
  let answers = 0;
  let answered = () => {};
  sender.addEventListener("message", () => {
    answers++;
    answered();
  });
  const answersUpTo = async (count: number) => {
    while (answers < count)
      await new Promise<void>((resolve) => {
        answered = resolve;
      });
  };

  const chunk = new Uint8Array(chunkBytes).fill(7);
  async function send(bytes: number): Promise<void> {
    for (let left = bytes; left > 0; left -= chunkBytes) {
      if (sender.bufferedAmount > pauseBytes) {
        sender.bufferedAmountLowThreshold = resumeBytes;
        await event(sender, "bufferedamountlow");
      }
      sender.send(chunk.subarray(0, Math.min(left, chunkBytes)));
    }
  }

  return {
    async round({ bytes, count, group, underWay }) {
      // An empty message is a byte: not all implementations send none.
      const size = Math.max(1, bytes);
      groupBytes = group * size;
      answers = 0;
      const started = performance.now();
      for (let sent = 1; sent <= count; sent++) {
        await send(size);
        if (sent % group === 0) await answersUpTo(sent / group - underWay + 1);
      }
      await answersUpTo(count / group);
      return performance.now() - started;
    },
    close() {
      a.close();
      b.close();
    },
  };
}

const event = (of: EventTarget, name: string) =>
  new Promise<void>((resolve) => {
    of.addEventListener(name, () => resolve(), { once: true });
  });
