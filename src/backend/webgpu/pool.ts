// GPU buffers kept for reuse in size classes. Owns every storage buffer of a device; knows nothing of what is
// in them.

/** Smallest class, and the multiple all classes are of: a vec4<f32> view of any buffer is whole. */
const granule = 256;

/** The class of a size: eight steps to each power of two, so at most 1/8 of a buffer is unused (beyond the granule). */
export function sizeClass(bytes: number): number {
  if (bytes <= granule) return granule;
  const power = 2 ** Math.floor(Math.log2(bytes));
  const step = Math.max(granule, power / 8);
  return Math.ceil(bytes / step) * step;
}

/** One GPU buffer. `usedBy` is the number of the last submit that reads or writes it. */
export interface Slot {
  readonly id: number;
  readonly buffer: GPUBuffer;
  readonly bytes: number;
  usedBy: number;
}

export class BufferPool {
  #free = new Map<number, Slot[]>();
  #nextId = 1;
  /** bytes held from the device, in use or free */
  reservedBytes = 0;

  constructor(
    readonly create: (bytes: number) => GPUBuffer,
    readonly maxBytes: number,
  ) {}

  take(bytes: number): Slot {
    const size = Math.min(sizeClass(bytes), this.maxBytes - (this.maxBytes % 16));
    // The lowest number first (lists descend): a step that asks in the same order as the one before gets the same buffers, and with
    // them bind groups that exist.
    const kept = this.#free.get(size)?.pop();
    if (kept) return kept;
    const slot = { id: this.#nextId++, buffer: this.create(size), bytes: size, usedBy: -1 };
    this.reservedBytes += size;
    return slot;
  }

  give(slot: Slot): void {
    const list = this.#free.get(slot.bytes);
    if (!list) {
      this.#free.set(slot.bytes, [slot]);
      return;
    }
    let at = 0;
    for (let end = list.length; at < end; ) {
      const middle = (at + end) >> 1;
      if (list[middle].id > slot.id) at = middle + 1;
      else end = middle;
    }
    list.splice(at, 0, slot);
  }

  /** Destroys what is free. Work already submitted still finishes with it: WebGPU keeps a destroyed buffer until then.
   *  @returns how many buffers went */
  trim(): number {
    let count = 0;
    for (const slots of this.#free.values()) {
      for (const slot of slots) {
        slot.buffer.destroy();
        this.reservedBytes -= slot.bytes;
        count++;
      }
    }
    this.#free.clear();
    return count;
  }
}
