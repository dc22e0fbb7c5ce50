// What one address may take of a server: connections at once, and WebSockets a second.

import type { Socket } from "node:net";
import { Bucket, type Rate } from "./bucket.ts";

const mostAddresses = 10_000;
/** connections at once of one address, or of a proxy before the server: every member of three full rooms */
const mostOfOne = 256;

export class Addresses {
  readonly #rate: Rate;
  readonly #nowMs: () => number;
  readonly #buckets = new Map<string, Bucket>();
  readonly #open = new Map<string, number>();

  constructor({ rate, nowMs }: { rate: Rate; nowMs: () => number }) {
    this.#rate = rate;
    this.#nowMs = nowMs;
  }

  /** Takes a new connection, or ends it: one address does not take those of all. */
  connect(socket: Socket): void {
    const { remoteAddress = "" } = socket;
    const open = (this.#open.get(remoteAddress) ?? 0) + 1;
    this.#open.set(remoteAddress, open);
    socket.once("close", () => {
      const left = (this.#open.get(remoteAddress) ?? 1) - 1;
      if (left > 0) this.#open.set(remoteAddress, left);
      else this.#open.delete(remoteAddress);
    });
    if (open > mostOfOne) socket.destroy();
  }

  /** Whether it may open one more WebSocket now. */
  welcome({ remoteAddress = "" }: Socket): boolean {
    const nowMs = this.#nowMs();
    let bucket = this.#buckets.get(remoteAddress);
    if (!bucket) {
      if (this.#buckets.size >= mostAddresses) return false;
      bucket = new Bucket(this.#rate, nowMs);
      this.#buckets.set(remoteAddress, bucket);
    }
    return bucket.take(1, nowMs);
  }

  /** Forgets those that have said nothing for long. To be called now and then. */
  tick(): void {
    const nowMs = this.#nowMs();
    for (const [address, bucket] of this.#buckets) if (bucket.full(nowMs)) this.#buckets.delete(address);
  }
}
