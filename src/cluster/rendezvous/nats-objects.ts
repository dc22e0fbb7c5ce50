// Named bytes that a room on NATS keeps for its members, in NATS's object store. Sealed like what is said in the room, in segments that each know
// their place, and the last one that it is: what strangers cut, mix or replace is not taken. What had the same name before, they can put back:
// who reads must know from elsewhere what it has to be.

import type { NatsConnection } from "@nats-io/nats-core";
import type { ObjectResult, ObjectStore } from "@nats-io/obj";
import { RendezvousError } from "./connection.ts";
import { type Seal, sealBytes } from "./nats-seal.ts";
import type { RoomObjects } from "./objects.ts";

/** of sealed bytes: as long as the chunks that NATS's clients make of them */
const segmentBytes = 128 * 1024;
const plainBytes = segmentBytes - sealBytes;

interface Place {
  seal: Seal;
  room: string;
  /** after which a server that sends nothing is given up */
  silentMs: number;
}

export class NatsObjects implements RoomObjects {
  readonly #store: ObjectStore;
  readonly #connection: NatsConnection;
  readonly #place: Place;

  private constructor(store: ObjectStore, { connection, place }: { connection: NatsConnection; place: Place }) {
    this.#store = store;
    this.#connection = connection;
    this.#place = place;
  }

  /** @param made of the store, where there is none: what it holds at most, and how long it keeps what nobody puts there again. Undefined: there
   *  must be one.
   *  @throws RendezvousError when there is none, or the server keeps none */
  static async open(
    connection: NatsConnection,
    { made, ...place }: Place & { made?: { mostBytes: number; ttlMs: number } },
  ): Promise<NatsObjects> {
    const [{ Objm }, { nanos }] = await Promise.all([import("@nats-io/obj"), import("@nats-io/nats-core")]);
    const name = `shardgrad-${place.room}`;
    const stores = new Objm(connection);
    const opening = made
      ? stores.create(name, { ttl: nanos(made.ttlMs), max_bytes: made.mostBytes })
      : stores.open(name);
    try {
      return new NatsObjects(await opening, { connection, place });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new RendezvousError(
        /not found/.test(reason)
          ? `the room ${place.room} keeps nothing: its store is gone, or was never made`
          : `the NATS server has no object store for the room ${place.room}: ${reason}`,
      );
    }
  }

  /** @returns an id, of what is there from now on, and of nothing else */
  async put(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<string> {
    try {
      const meta = { name, options: { max_chunk_size: segmentBytes } };
      return (await this.#store.put(meta, this.#sealed(name, bytes))).nuid;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new RendezvousError(`the NATS server does not keep ${bytes.length} bytes for the room: ${reason}`);
    }
  }

  /** The id of what is there; undefined: there is nothing. */
  async idOf(name: string): Promise<string | undefined> {
    const info = await this.#store.info(name);
    return info && !info.deleted ? info.nuid : undefined;
  }

  async get(name: string, { mostBytes }: { mostBytes: number }): Promise<Uint8Array<ArrayBuffer>> {
    const { room } = this.#place;
    try {
      const info = await this.#store.info(name);
      if (!info || info.deleted) throw new RendezvousError(`the room ${room} does not keep it, or not any more`);
      // A link is a stranger's: it could lead to itself.
      const result = info.options?.link ? undefined : await this.#store.get(name);
      if (!result) throw tampered(room);
      return await this.#read(name, { result, mostBytes });
    } catch (error) {
      if (error instanceof RendezvousError) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw new RendezvousError(`what the room ${room} keeps does not come whole from the NATS server: ${reason}`);
    }
  }

  async remove(name: string): Promise<void> {
    await this.#store.delete(name);
  }

  /** Removes all, and the store. */
  async destroy(): Promise<void> {
    await this.#store.destroy();
  }

  #sealed(name: string, bytes: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array> {
    let [at, index] = [0, 0];
    return new ReadableStream({
      pull: async (controller) => {
        const plain = bytes.subarray(at, at + plainBytes);
        at += plain.length;
        const last = at === bytes.length;
        controller.enqueue(await this.#place.seal.close(plain, this.#subject(name, { index, last })));
        index++;
        if (last) controller.close();
      },
    });
  }

  async #read(
    name: string,
    { result, mostBytes }: { result: ObjectResult; mostBytes: number },
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { room, seal } = this.#place;
    const all = new Uint8Array(mostBytes);
    const segment = new Uint8Array(segmentBytes);
    let [at, index, filled] = [0, 0, 0];
    const take = async (last: boolean) => {
      const plain = await seal.open(segment.subarray(0, filled), this.#subject(name, { index, last }));
      if (!plain) throw tampered(room);
      if (at + plain.length > mostBytes)
        throw new RendezvousError(`the room ${room} keeps more than ${mostBytes} bytes`);
      all.set(plain, at);
      at += plain.length;
      index++;
      filled = 0;
    };
    // Told by the stream as well.
    result.error.catch(() => undefined);
    const reader = result.data.getReader();
    try {
      for (;;) {
        const { done, value } = await this.#inTime(reader.read());
        if (done) break;
        for (let from = 0; from < value.length; ) {
          // Only when more comes is a full one known not to be the last.
          if (filled === segmentBytes) await take(false);
          const piece = value.subarray(from, from + segmentBytes - filled);
          segment.set(piece, filled);
          filled += piece.length;
          from += piece.length;
        }
      }
      await take(true);
      return all.subarray(0, at);
    } finally {
      await reader.cancel().catch(() => undefined);
    }
  }

  /** Where chunks were deleted, the client waits for them for ever. */
  async #inTime<T>(reading: Promise<T>): Promise<T> {
    const { room, silentMs } = this.#place;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      const silent = `a part of what the room ${room} keeps did not come for ${silentMs / 1000} s`;
      timer = setTimeout(
        () => reject(new RendezvousError(`${silent}; it was deleted, or the server is slow`)),
        silentMs,
      );
    });
    const lost = this.#connection.closed().then((): never => {
      throw new RendezvousError(`the NATS server was lost while the room ${room} gave what it keeps`);
    });
    try {
      return await Promise.race([reading, late, lost]);
    } finally {
      clearTimeout(timer);
      lost.catch(() => undefined);
    }
  }

  #subject(name: string, { index, last }: { index: number; last: boolean }): string {
    return `shardgrad.${this.#place.room}.object.${name}.${index}${last ? ".last" : ""}`;
  }
}

const tampered = (room: string) =>
  new RendezvousError(
    `what the room ${room} keeps is not as a member put it there: somebody without the secret has changed, cut or replaced it on the NATS server`,
  );
