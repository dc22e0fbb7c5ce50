// Channels that somebody meddles with: frames that are lost, changed, doubled or swapped as they leave a rank.

import type { Channel, ChannelListener } from "../../src/comm/channel.ts";
import { messageChannels } from "./remote-ranks.ts";

export type Bytes = Uint8Array<ArrayBuffer>;

/** A channel whose frames somebody meddles with as they leave. */
class Meddled implements Channel {
  readonly #channel: Channel;
  readonly #meddle: (frame: Bytes, pass: (frame: Bytes) => void) => void;

  constructor(channel: Channel, meddle: (frame: Bytes, pass: (frame: Bytes) => void) => void) {
    this.#channel = channel;
    this.#meddle = meddle;
  }

  get overheadBytes(): number {
    return this.#channel.overheadBytes;
  }

  send(bytes: Bytes): void {
    this.#meddle(bytes, (frame) => this.#channel.send(frame));
  }

  listen(listener: ChannelListener): void {
    this.#channel.listen(listener);
  }

  flush(): Promise<void> {
    return this.#channel.flush();
  }

  close(): void {
    this.#channel.close();
  }
}

/** Message channels of `size` ranks, with one rank's to another, or to all, in somebody's hands once `at` frames have passed. */
export function meddling(
  { size, culprit, other, at }: { size: number; culprit: number; other: number | undefined; at: number },
  act: (frame: Bytes, pass: (frame: Bytes) => void, channel: Channel) => void,
): (Channel | undefined)[][] {
  const channels = messageChannels(size);
  let frames = 0;
  const wrapped = channels[culprit].map((channel, to) => {
    if (!channel || (other !== undefined && to !== other)) return channel;
    return new Meddled(channel, (frame, pass) => {
      if (++frames <= at) pass(frame);
      else act(frame, pass, channel);
    });
  });
  channels[culprit] = wrapped;
  return channels;
}

/** Acts on one frame, and lets the others pass. */
export const once = (act: (frame: Bytes, pass: (frame: Bytes) => void) => void) => {
  let done = false;
  return (frame: Bytes, pass: (frame: Bytes) => void) => {
    if (done) return pass(frame);
    done = true;
    act(frame, pass);
  };
};
