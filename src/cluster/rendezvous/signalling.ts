// What the ranks of one start tell each other through the room until they have channels of their own.

import type { Signalling } from "../../comm/webrtc.ts";
import { bounds } from "./protocol.ts";

/** Signals that came before somebody listens: more than a mesh of 64 sends while a rank starts. */
const mostWaiting = 4096;

export class RoomSignalling implements Signalling {
  readonly #rank: number;
  readonly #size: number;
  readonly #relay: (to: number, data: string) => void;
  #take: ((from: number, data: unknown) => void) | undefined;
  #waiting: { from: number; data: unknown }[] = [];

  constructor(options: { rank: number; size: number; relay: (to: number, data: string) => void }) {
    this.#rank = options.rank;
    this.#size = options.size;
    this.#relay = options.relay;
  }

  /** @throws RangeError for a rank that the mesh does not have, or data that is no JSON or too long */
  send(to: number, data: unknown): void {
    if (!Number.isInteger(to) || to < 0 || to >= this.#size || to === this.#rank)
      throw new RangeError(`a signal from rank ${this.#rank} to rank ${to}: need another rank below ${this.#size}`);
    const text: string | undefined = JSON.stringify(data);
    if (text === undefined || text.length > bounds.signal)
      throw new RangeError(
        `a signal to rank ${to} has ${text?.length ?? "no"} characters of JSON, need 1 to ${bounds.signal}`,
      );
    this.#relay(to, text);
  }

  listen(take: (from: number, data: unknown) => void): void {
    this.#take = take;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { from, data } of waiting) take(from, data);
  }

  /** @throws SyntaxError when the data is not JSON, RangeError when nobody listens and there are too many */
  arrive(from: number, text: string): void {
    const data: unknown = JSON.parse(text);
    if (this.#take) this.#take(from, data);
    else if (this.#waiting.length < mostWaiting) this.#waiting.push({ from, data });
    else throw new RangeError(`nobody has listened to ${mostWaiting} signals so far`);
  }
}
