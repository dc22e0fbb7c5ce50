// A link that notes when messages are sent and received, around any other. Each side notes what it sees of a message; who has both sides'
// notes knows the whole (cluster/tracer.ts).

import { bytesOf } from "../backend/buffer.ts";
import { nowUs } from "../backend/clock.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Call, keyOf, type Link, type LinkTraffic } from "./link.ts";

/** Plain data. */
export interface MessageNote {
  from: number;
  to: number;
  /** the same on both sides; messages that share it come in order */
  key: string;
  op: string;
  purpose: string;
  group: string;
  /** undefined for a message without elements */
  shape: readonly number[] | undefined;
  bytes: number;
  /** microseconds as of clock.ts: when this side's program asked for it */
  askedUs: number;
}

export interface ReceivedNote extends MessageNote {
  /** When it had come; undefined where a message is a reference, which is there when it is sent. */
  cameUs: number | undefined;
  /** when the program had it */
  takenUs: number;
}

export interface LinkWatch {
  sent(note: MessageNote): void;
  received(note: ReceivedNote): void;
}

export class TracedLink implements Link {
  readonly rank: number;
  readonly size: number;
  /** told while there is one */
  watch: LinkWatch | undefined;
  readonly #link: Link;
  /** of messages that nobody has taken yet, when they came */
  readonly #came = new Map<string, number[]>();

  constructor(link: Link) {
    this.rank = link.rank;
    this.size = link.size;
    this.#link = link;
    link.onArrival = (from, message) => {
      const key = this.#key(message, { from, to: link.rank });
      const before = this.#came.get(key);
      if (before) before.push(nowUs());
      else this.#came.set(key, [nowUs()]);
    };
  }

  get traffic(): LinkTraffic | undefined {
    return this.#link.traffic;
  }

  enter(call: Call): void {
    this.#link.enter(call);
  }

  leave(calls: readonly Call[]): void {
    this.#link.leave?.(calls);
  }

  send(to: number, message: { call: Call; part: number; tensor?: Tensor }): void {
    this.watch?.sent(this.#note(message, { from: this.rank, to, tensor: message.tensor, askedUs: nowUs() }));
    this.#link.send(to, message);
  }

  async receive(from: number, expected: Parameters<Link["receive"]>[1]): Promise<Tensor | undefined> {
    const askedUs = nowUs();
    const tensor = await this.#link.receive(from, expected);
    const cameUs = this.#taken(this.#key(expected, { from, to: this.rank }));
    const note = this.watch && this.#note(expected, { from, to: this.rank, tensor, askedUs });
    if (note) this.watch?.received({ ...note, cameUs, takenUs: nowUs() });
    return tensor;
  }

  fail(cause: unknown): void {
    this.#link.fail(cause);
  }

  #taken(key: string): number | undefined {
    const times = this.#came.get(key);
    const first = times?.shift();
    if (times?.length === 0) this.#came.delete(key);
    return first;
  }

  #key({ call, part }: { call: Call; part: number }, { from, to }: { from: number; to: number }): string {
    return `${from}>${to} ${keyOf(call)} part ${part}`;
  }

  #note(
    message: { call: Call; part: number },
    at: { from: number; to: number; tensor: Tensor | undefined; askedUs: number },
  ): MessageNote {
    const { from, to, tensor, askedUs } = at;
    const { op, purpose = "its caller", group } = message.call;
    return {
      ...{ from, to, key: this.#key(message, at), op, purpose, group, askedUs },
      shape: tensor?.shape,
      bytes: tensor ? bytesOf({ dtype: tensor.dtype, length: tensor.size }) : 0,
    };
  }
}
