// A way for frames between two ranks of a run through their room's NATS server: sealed, numbered, each direction a subject of its own.
//
//   shardgrad.ROOM.relay.GENERATION.FROM.TO   ids of connections, which a generation has once: an old packet fits nowhere

import type { Msg, NatsConnection, Subscription } from "@nats-io/nats-core";
import type { RelayWire } from "../../comm/relay-channel.ts";
import { type Seal, sealBytes } from "./nats-seal.ts";

/** of a packet's number, a float64: no run counts further */
const numberBytes = 8;

type Listener = Parameters<RelayWire["listen"]>[0];

export class NatsWire implements RelayWire {
  readonly overheadBytes = sealBytes + numberBytes;
  readonly mostBytes: number;
  readonly #connection: NatsConnection;
  readonly #seal: Seal;
  readonly #subject: string;
  readonly #subscription: Subscription;
  #listener: Listener | undefined;
  #sent = 0;
  #taken: number | undefined;
  #out: Promise<void> = Promise.resolve();
  #in: Promise<void> = Promise.resolve();
  /** packets that wait to be opened */
  #waiting = 0;
  #closed = false;

  constructor(options: {
    connection: NatsConnection;
    seal: Seal;
    room: string;
    generation: number;
    own: string;
    other: string;
  }) {
    const { connection, seal, room, generation, own, other } = options;
    this.#connection = connection;
    this.#seal = seal;
    this.mostBytes = (connection.info?.max_payload ?? 1 << 20) - this.overheadBytes;
    const subject = `shardgrad.${room}.relay.${generation}`;
    this.#subject = `${subject}.${own}.${other}`;
    this.#subscription = connection.subscribe(`${subject}.${other}.${own}`, {
      callback: (_, message) => this.#arrive(message),
    });
    void connection.closed().then(() => this.#lose("the NATS server between was lost"));
  }

  listen(listener: Listener): void {
    this.#listener = listener;
  }

  send(packet: Uint8Array<ArrayBuffer>): void {
    const numbered = new Uint8Array(numberBytes + packet.length);
    new DataView(numbered.buffer).setFloat64(0, ++this.#sent, true);
    numbered.set(packet, numberBytes);
    this.#out = this.#out
      .then(async () => this.#connection.publish(this.#subject, await this.#seal.close(numbered, this.#subject)))
      .catch((error: Error) => this.#lose(`the NATS server between was lost: ${error.message}`));
  }

  flush(): Promise<void> {
    return this.#out;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (!this.#connection.isClosed()) this.#subscription.unsubscribe();
  }

  #arrive({ data, subject }: Msg): void {
    // The other side keeps to its window: more is a stranger's.
    if (this.#closed || this.#waiting >= 64) return;
    this.#waiting++;
    this.#in = this.#in.then(async () => {
      const opened = await this.#seal.open(data, subject);
      this.#waiting--;
      if (this.#closed || !opened || opened.length < numberBytes) return;
      const number = new DataView(opened.buffer).getFloat64(0, true);
      // Before the first the other side has spoken to nobody. One that was seen is repeated by a stranger.
      const missing = number - (this.#taken ?? number - 1) - 1;
      if (missing < 0) return;
      this.#taken = number;
      if (missing > 0) this.#lose(`${missing} packets were lost on their way`);
      else this.#listener?.packet(opened.subarray(numberBytes));
    });
  }

  #lose(reason: string): void {
    if (this.#closed) return;
    this.close();
    this.#listener?.lost(reason);
  }
}
