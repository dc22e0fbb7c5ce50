// The key-value store of a room on NATS: an entry for each member, which the store forgets when it is not renewed; and who renews it.

import type { KV, KvStatus } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/nats-core";
import { RendezvousError } from "./connection.ts";
import type { NatsAddress } from "./nats-address.ts";
import { type Entry, entryText, idPattern, parseEntry } from "./nats-roster.ts";
import type { Seal } from "./nats-seal.ts";

/** of silence, in stores that others have made */
const [leastSilentMs, mostSilentMs] = [200, 600_000];

export interface Watch {
  ended: Promise<string>;
  /** The client's timers would outlive the connection. */
  stop(): void;
}

export class Store {
  /** how long a member may be silent before it is forgotten */
  readonly silentMs: number;
  readonly #entries: KV;
  /** when it was made, as the server says it */
  readonly #created: string;
  readonly #seal: Seal;
  readonly #room: string;

  private constructor({ entries, status, seal, room }: { entries: KV; status: KvStatus; seal: Seal; room: string }) {
    this.silentMs = status.ttl;
    this.#created = status.streamInfo.created;
    this.#entries = entries;
    this.#seal = seal;
    this.#room = room;
  }

  /** @param options.silentMs of the store that is made if there is none; undefined: there must be one
   *  @throws RendezvousError when there is none, or the server keeps none */
  static async open(
    connection: NatsConnection,
    { address, seal, silentMs }: { address: NatsAddress; seal: Seal; silentMs?: number },
  ): Promise<Store> {
    const { host, room } = address;
    const name = `shardgrad-${room}`;
    const { Kvm } = await import("@nats-io/kv");
    try {
      const stores = new Kvm(connection);
      // On disk: numbers go on where they were when the server starts again.
      const limits = { ttl: silentMs, history: 1, maxValueSize: 4096, max_bytes: 1 << 20 };
      const entries = silentMs === undefined ? await stores.open(name) : await stores.create(name, limits);
      const status = await entries.status();
      const { ttl } = status;
      if (ttl >= leastSilentMs && ttl <= mostSilentMs) return new Store({ entries, status, seal, room });
      throw new RendezvousError(
        `the store ${name} at ${host} keeps entries for ${ttl} ms, and no room's does; delete it, or use another name`,
      );
    } catch (error) {
      if (error instanceof RendezvousError) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      if (/stream not found/.test(reason))
        throw new RendezvousError(`there is no room ${room} at ${host}; open it first, or use its whole link`);
      throw new RendezvousError(
        `the NATS server at ${host} keeps no store for the room: ${reason}; start it with JetStream (nats-server -js)`,
      );
    }
  }

  /** @returns the store's revision: grows with everything that was ever put there
   *  @throws Error when it is not the store that was opened: in another, numbers would be given twice, and what was watched is gone */
  async put(entry: Entry): Promise<number> {
    const bytes = new TextEncoder().encode(entryText(entry));
    const revision = await this.#entries.put(entry.id, await this.#seal.close(bytes, this.#subject(entry.id)));
    const { streamInfo } = await this.#entries.status();
    if (streamInfo.created !== this.#created) throw new Error("it was made anew");
    return revision;
  }

  /** Every entry that is there, then every new one; undefined for those that cannot be opened. That one was deleted is told to nobody, since
   *  strangers can delete. Resolves when it has begun; `ended` says why, with the connection at the latest. */
  async watch(see: (entry: Entry | undefined) => void): Promise<Watch> {
    const watch = await this.#entries.watch();
    const reading = (async () => {
      for await (const { key, value, operation } of watch) if (operation === "PUT") see(await this.#open(key, value));
      return "its store is gone";
    })();
    return { ended: reading.catch((error: Error) => error.message), stop: () => watch.stop() };
  }

  async forget(id: string): Promise<void> {
    await this.#entries.delete(id);
  }

  async #open(id: string, value: Uint8Array): Promise<Entry | undefined> {
    const opened = idPattern.test(id) ? await this.#seal.open(value, this.#subject(id)) : undefined;
    try {
      const entry = opened && parseEntry(JSON.parse(new TextDecoder().decode(opened)));
      return entry?.id === id ? entry : undefined;
    } catch {
      return undefined;
    }
  }

  #subject(id: string): string {
    return `shardgrad.${this.#room}.entry.${id}`;
  }
}

/** Keeps a member's entry in the store. */
export class Announcer {
  readonly #store: Store;
  readonly #own: (sequence: number) => Entry;
  readonly #lost: (reason: string) => void;
  #sequence = 0;
  #putMs = 0;
  #putting = false;
  #again = false;
  #ended = false;

  constructor(store: Store, { own, lost }: { own: (sequence: number) => Entry; lost: (reason: string) => void }) {
    this.#store = store;
    this.#own = own;
    this.#lost = lost;
  }

  /** Enters. Resolves with the member's number, with which it has to announce itself then. */
  enter(): Promise<number> {
    return this.#put();
  }

  /** The entry has become another. */
  async announce(): Promise<void> {
    this.#again = true;
    if (this.#putting || this.#ended) return;
    this.#putting = true;
    try {
      while (this.#again && !this.#ended) {
        this.#again = false;
        await this.#put();
      }
    } catch (error) {
      this.#lost(`its store takes no entry: ${(error as Error).message}`);
    } finally {
      this.#putting = false;
    }
  }

  /** Renews it where that is due; whether it was. */
  renew(): boolean {
    if (performance.now() - this.#putMs < this.#store.silentMs / 3) return false;
    void this.announce();
    return true;
  }

  end(): void {
    this.#ended = true;
  }

  #put(): Promise<number> {
    this.#putMs = performance.now();
    return this.#store.put(this.#own(++this.#sequence));
  }
}
