// A channel over a MessagePort, in a page or in Node: buffers change hands without being copied, and come back for further messages when
// their receiver has no use for them.
//
// A message is an array of bytes; or a list that may begin with one, of memory that is given back; or the goodbye.

import type { Channel, ChannelListener } from "./channel.ts";
import { type Home, spare } from "./spare.ts";

/** Says that no more will come: ports tell of their other end's closing in Node and in new browsers only. */
const goodbye = "closed";
/** Memory goes back with the next message, or when there is so much of it. */
const [mostSpent, mostSpentBytes] = [8, 4 << 20];

export class MessagePortChannel implements Channel, Home {
  /** Of what messages travel in beyond the port, if anything: what engines add to them is theirs. */
  overheadBytes = 0;
  readonly #port: MessagePort;
  readonly #beyond: ((bytes: number) => number) | undefined;
  #open = true;
  #spent: ArrayBuffer[] = [];
  #spentBytes = 0;

  /** beyond: bytes that the channel which the other end passes messages on to adds to one of so many */
  constructor(port: MessagePort, { beyond }: { beyond?: (bytes: number) => number } = {}) {
    this.#port = port;
    this.#beyond = beyond;
  }

  send(bytes: Uint8Array<ArrayBuffer>): void {
    if (!this.#open) return;
    if (this.#beyond) this.overheadBytes += this.#beyond(bytes.length);
    if (this.#spent.length > 0) this.#post(bytes);
    else this.#port.postMessage(bytes, [bytes.buffer]);
  }

  listen(listener: ChannelListener): void {
    const closed = (reason: string) => {
      if (!this.#open) return;
      this.#end();
      listener.closed(reason);
    };
    this.#port.addEventListener("close", () => closed("its port was closed"));
    this.#port.addEventListener("message", ({ data }: MessageEvent<unknown>) => {
      if (!this.#open) return;
      const bytes = Array.isArray(data) ? takeBack(data) : data;
      if (bytes instanceof Uint8Array && bytes.buffer instanceof ArrayBuffer) {
        spare.comes(bytes as Uint8Array<ArrayBuffer>, this);
        listener.message(bytes as Uint8Array<ArrayBuffer>);
      } else if (bytes !== undefined)
        closed(bytes === goodbye ? "it has closed its side" : "it sent something else than bytes");
    });
    this.#port.start();
  }

  giveBack(memory: ArrayBuffer): void {
    if (!this.#open) return;
    this.#spent.push(memory);
    this.#spentBytes += memory.byteLength;
    if (this.#spent.length === mostSpent || this.#spentBytes >= mostSpentBytes) this.#post();
  }

  async flush(): Promise<void> {}

  close(): void {
    if (!this.#open) return;
    this.#port.postMessage(goodbye);
    this.#end();
  }

  #post(bytes?: Uint8Array<ArrayBuffer>): void {
    const spent = this.#spent;
    this.#spent = [];
    this.#spentBytes = 0;
    if (bytes) this.#port.postMessage([bytes, ...spent], [bytes.buffer, ...spent]);
    else this.#port.postMessage(spent, spent);
  }

  #end(): void {
    this.#open = false;
    this.#spent = [];
    this.#port.close();
  }
}

/** What a list has beside memory that comes back, if anything; null for a list of something else. */
function takeBack(list: readonly unknown[]): unknown {
  const begin = list[0] instanceof Uint8Array ? 1 : 0;
  const spent = list.slice(begin);
  if (spent.length === 0 || spent.length > mostSpent || !spent.every((each) => each instanceof ArrayBuffer))
    return null;
  for (const memory of spent) spare.give(memory);
  return begin === 1 ? list[0] : undefined;
}
