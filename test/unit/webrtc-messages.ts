// What the tests of channels send and take, in Node and in a page.

import type { Channel } from "../../src/comm/channel.ts";
import { randomNumbers } from "../parallel/ranks.ts";

/** Around what a chunk holds, with and without its head, and many chunks. */
export const sizes = [0, 1, 15, 16, 65_535, 65_536, 65_551, 65_552, 65_553, 65_564, 65_565, 1_000_003, 20_000_000];

/** Another content for every seed; it repeats after a prime number of bytes, so that no chunk is like another. */
export function content(length: number, seed: number): Uint8Array<ArrayBuffer> {
  const next = randomNumbers(seed);
  const pattern = Uint8Array.from({ length: 65_521 }, () => 256 * next());
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += pattern.length) bytes.set(pattern.subarray(0, length - at), at);
  return bytes;
}

export const same = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, at) => byte === b[at]);

/** What comes, and why nothing more does. */
export function inbox(channel: Channel) {
  const messages: Uint8Array<ArrayBuffer>[] = [];
  let look = () => {};
  let close: (reason: string) => void;
  const closed = new Promise<string>((resolve) => {
    close = resolve;
  });
  channel.listen({
    message: (bytes) => {
      messages.push(bytes);
      look();
    },
    closed: (reason) => close(reason),
  });
  /** Resolves when so many have come. */
  const count = (wanted: number) =>
    new Promise<void>((resolve) => {
      look = () => messages.length >= wanted && resolve();
      look();
    });
  return { messages, count, closed };
}

export type Inbox = ReturnType<typeof inbox>;

/** Sends a message of each size and takes one of each, with the seeds agreed on.
 *  @returns the sizes that did not come as they were sent */
export async function exchange(
  channel: Channel,
  { box, mine, theirs }: { box: Inbox; mine: number; theirs: number },
): Promise<number[]> {
  for (const [i, size] of sizes.entries()) channel.send(content(size, mine + i));
  await box.count(sizes.length);
  await channel.flush();
  return sizes.filter((size, i) => {
    const { byteOffset, buffer } = box.messages[i];
    const own = box.messages.every((other, at) => at === i || other.buffer !== buffer);
    return !same(box.messages[i], content(size, theirs + i)) || byteOffset % 4 !== 0 || !own;
  });
}
