// A channel over a MessagePort, in a page or in Node: buffers change hands without being copied.

import type { Channel, ChannelListener } from "./channel.ts";

/** Says that no more will come: ports tell of their other end's closing in Node and in new browsers only. */
const goodbye = "closed";

export class MessagePortChannel implements Channel {
  /** what engines add to a message is theirs */
  readonly overheadBytes = 0;
  readonly #port: MessagePort;
  #open = true;

  constructor(port: MessagePort) {
    this.#port = port;
  }

  send(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#open) this.#port.postMessage(bytes, [bytes.buffer]);
  }

  listen(listener: ChannelListener): void {
    const closed = (reason: string) => {
      if (!this.#open) return;
      this.#open = false;
      this.#port.close();
      listener.closed(reason);
    };
    this.#port.addEventListener("close", () => closed("its port was closed"));
    this.#port.addEventListener("message", ({ data }: MessageEvent<unknown>) => {
      if (!this.#open) return;
      if (data instanceof Uint8Array && data.buffer instanceof ArrayBuffer)
        listener.message(data as Uint8Array<ArrayBuffer>);
      else closed(data === goodbye ? "it has closed its side" : "it sent something else than bytes");
    });
    this.#port.start();
  }

  async flush(): Promise<void> {}

  close(): void {
    if (!this.#open) return;
    this.#port.postMessage(goodbye);
    this.#open = false;
    this.#port.close();
  }
}
