// GPU buffers kept for reuse in size classes. Owns every storage buffer of a device; knows nothing of what is
// in them.

/** Smallest class, and the multiple all classes are of: a vec4<f32> view of any buffer is whole. */
const granule = 256;

/** The class of a size: eight steps to each power of two, so at most 1/8 of a buffer is unused (beyond the granule). */
export function sizeClass(bytes: number): number {
  if (bytes <= granule) return granule;
  const power = bytes < 2 ** 31 ? 1 << (31 - Math.clz32(bytes)) : 2 ** Math.floor(Math.log2(bytes));
  const step = Math.max(granule, power / 8);
  return Math.ceil(bytes / step) * step;
}

/** A GPU buffer, or a part of one that several slots share. */
export class Slot {
  /** the slot that has the whole GPU buffer: this one, unless it is a part */
  readonly whole: Slot;
  /** number of the last submit that reads or writes the GPU buffer; the whole's counts */
  usedBy = -1;
  /** parts in use */
  parts = 0;

  constructor(
    readonly id: number,
    readonly buffer: GPUBuffer,
    readonly bytes: number,
    readonly offset = 0,
    whole?: Slot,
  ) {
    this.whole = whole ?? this;
  }
}

/** Multiple of elements at which a part of a GPU buffer begins: in f16 the alignment every device accepts for a binding, 256 bytes. The
 *  same in f32, so that an element has one index in both. */
export const partElements = 128;

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
    const slot = new Slot(this.#nextId++, this.create(size), size);
    this.reservedBytes += size;
    return slot;
  }

  /** Bytes [offset, offset + bytes) of `whole`, which comes back with the last of its parts. */
  part(whole: Slot, { offset, bytes }: { offset: number; bytes: number }): Slot {
    whole.parts++;
    return new Slot(this.#nextId++, whole.buffer, bytes, offset, whole);
  }

  give(slot: Slot): void {
    if (slot.whole !== slot) {
      if (--slot.whole.parts === 0) this.give(slot.whole);
      return;
    }
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
