// The buffers of a backend whose memory is linear: where each lies, whose it is, and how many bytes are in use.

import type { DeviceBuffer, DType, HostArray } from "../buffer.ts";
import { OutOfMemoryError } from "../errors.ts";
import { MemoryAccount, type Purpose } from "../memory.ts";
import type { LinearMemory } from "./memory.ts";

const bytesPerElement = 4;

export class LinearBuffer implements DeviceBuffer {
  freed = false;
  /** Its elements, where the caller's thread sees them; made again when the memory has grown. */
  view: HostArray | undefined;
  constructor(
    readonly id: number,
    readonly dtype: DType,
    readonly length: number,
    public purpose: Purpose,
    /** byte offset, a multiple of 16 */
    readonly start: number,
    readonly owner: LinearBuffers,
  ) {}

  get byteLength(): number {
    return this.length * bytesPerElement;
  }
}

export class LinearBuffers {
  readonly account = new MemoryAccount();
  readonly #memory: LinearMemory;
  readonly #live = new Set<LinearBuffer>();
  #nextId = 1;

  constructor(memory: LinearMemory) {
    this.#memory = memory;
    this.account.reservedBytes = memory.byteLength;
  }

  allocate({ dtype, length, purpose }: { dtype: DType; length: number; purpose: Purpose }): LinearBuffer {
    if (!Number.isSafeInteger(length) || length < 1) {
      throw new RangeError(`allocate: length is ${length}, needs a positive integer of elements`);
    }
    if (dtype === "f16")
      throw new RangeError("allocate: the cpu backend has no f16; use f32, or webgpu with shader-f16");
    const byteLength = length * bytesPerElement;
    if (byteLength > this.#memory.maxBytes) {
      throw new OutOfMemoryError(
        `allocate: asked for ${byteLength} bytes, but a buffer of the cpu backend has at most ${this.#memory.maxBytes}; use a smaller batch, context or model`,
        "allocate",
      );
    }
    const start = this.#memory.allocate(byteLength);
    this.account.reservedBytes = this.#memory.byteLength;
    this.account.take(purpose, byteLength);
    const buffer = new LinearBuffer(this.#nextId++, dtype, length, purpose, start, this);
    this.#live.add(buffer);
    return buffer;
  }

  free(buffer: DeviceBuffer): void {
    const own = this.own(buffer, "free");
    own.freed = true;
    this.#live.delete(own);
    this.#memory.free(own.start, own.byteLength);
    this.account.give(own.purpose, own.byteLength);
  }

  retag(buffer: DeviceBuffer, purpose: Purpose): void {
    const own = this.own(buffer, "retag");
    this.account.move(own.byteLength, { from: own.purpose, to: purpose });
    own.purpose = purpose;
  }

  freeAll(): void {
    for (const buffer of this.#live) this.free(buffer);
  }

  /** @throws RangeError when the buffer was freed or is another backend's */
  own(buffer: DeviceBuffer, call: string): LinearBuffer {
    if (!(buffer instanceof LinearBuffer) || buffer.owner !== this) {
      throw new RangeError(
        `${call}: buffer ${buffer.id} belongs to another backend; use buffers of the backend that is called`,
      );
    }
    if (buffer.freed) throw new RangeError(`${call}: buffer ${buffer.id} (${buffer.purpose}) was freed already`);
    return buffer;
  }

  /** The buffer to write `data` to.
   *  @throws RangeError when it is too short or of another type */
  toWrite(buffer: DeviceBuffer, data: HostArray): LinearBuffer {
    const own = this.own(buffer, "write");
    const dtype = data instanceof Float32Array ? "f32" : "i32";
    if (dtype !== buffer.dtype || data.length > buffer.length) {
      throw new RangeError(
        `write: got ${data.length} elements of ${dtype}, buffer ${buffer.id} holds ${buffer.length} of ${buffer.dtype}`,
      );
    }
    return own;
  }

  /** The buffer to read `length` elements from.
   *  @throws RangeError when it has fewer */
  toRead(buffer: DeviceBuffer, length: number): LinearBuffer {
    const own = this.own(buffer, "read");
    if (!Number.isInteger(length) || length < 0 || length > buffer.length) {
      throw new RangeError(`read: asked for ${length} elements, buffer ${buffer.id} holds ${buffer.length}`);
    }
    return own;
  }
}
