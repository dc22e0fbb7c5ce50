// Named bytes that a room keeps for its members, however it keeps them: a text now, checkpoints later.

export interface RoomObjects {
  /** In place of what had that name. */
  put(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<unknown>;
  /** @throws RendezvousError when nothing has that name, when it is longer, or not as a member put it there */
  get(name: string, options: { mostBytes: number }): Promise<Uint8Array<ArrayBuffer>>;
  remove(name: string): Promise<void>;
}
