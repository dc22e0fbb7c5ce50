// A tensor: a shape over device memory that it shares by reference count. It computes nothing (ops.ts) and
// remembers nothing (tape.ts). Rows are contiguous; the last dim runs fastest.

import type { Backend } from "../backend/backend.ts";
import type { DeviceBuffer, DType, FloatType, HostArray } from "../backend/buffer.ts";
import { invariant } from "../backend/errors.ts";
import type { Purpose } from "../backend/memory.ts";

// Browsers that lack explicit resource management get the symbol that compiled `using` falls back to.
if (!Symbol.dispose) Object.defineProperty(Symbol, "dispose", { value: Symbol.for("Symbol.dispose") });

export type Shape = readonly number[];

/** Number of elements of a shape. */
export function sizeOf(shape: Shape): number {
  let size = 1;
  for (const extent of shape) size *= extent;
  return size;
}

/** One buffer and how many hold it; the last to let go frees it, or gives it back to whom it was borrowed from. */
export class Storage {
  #holders = 1;
  #loans = 0;
  readonly #giveBack: (() => void) | undefined;
  constructor(
    readonly backend: Backend,
    readonly buffer: DeviceBuffer,
    giveBack?: () => void,
  ) {
    this.#giveBack = giveBack;
  }

  /** another rank's memory */
  get borrowed(): boolean {
    return this.#giveBack !== undefined;
  }

  static allocate(backend: Backend, spec: { shape: Shape; dtype: DType; purpose: Purpose }): Storage {
    return new Storage(
      backend,
      backend.allocate({ dtype: spec.dtype, length: sizeOf(spec.shape), purpose: spec.purpose }),
    );
  }

  /** Whether writing to the buffer would be seen by another tensor, here or on another rank. */
  get shared(): boolean {
    return this.#holders > 1 || this.#loans > 0 || this.borrowed;
  }

  /** Another rank reads the buffer until it calls what this returns. */
  lend(): () => void {
    this.#loans++;
    return () => {
      this.#loans--;
    };
  }

  get alive(): boolean {
    return this.#holders > 0;
  }

  retain(): this {
    invariant(this.alive, "a freed tensor was retained");
    this.#holders++;
    return this;
  }

  release(): void {
    invariant(this.alive, "a tensor was freed twice");
    if (--this.#holders > 0) return;
    if (this.#giveBack) this.#giveBack();
    else this.backend.free(this.buffer);
  }
}

/** What a tensor is made of, besides its memory. */
export interface TensorSpec {
  shape: Shape;
  /** for messages: which tensor went bad, which did not fit */
  name?: string;
  requiresGrad?: boolean;
}

export class Tensor {
  readonly shape: Shape;
  readonly requiresGrad: boolean;
  name: string;
  #held = true;

  constructor(
    readonly storage: Storage,
    spec: TensorSpec,
  ) {
    this.shape = spec.shape;
    this.requiresGrad = spec.requiresGrad ?? false;
    this.name = spec.name ?? "";
  }

  get backend(): Backend {
    return this.storage.backend;
  }

  get dtype(): DType {
    return this.storage.buffer.dtype;
  }

  /** number of elements */
  get size(): number {
    return sizeOf(this.shape);
  }

  get buffer(): DeviceBuffer {
    const { alive, buffer } = this.storage;
    if (!alive) invariant(false, `tensor ${this.name || `[${this.shape}]`} is used after it was freed`);
    return buffer;
  }

  /** Lets go of the memory; it is freed when nothing else (a tape's saved tensors) holds it. Safe to call twice. */
  dispose(): void {
    if (!this.#held) return;
    this.#held = false;
    this.storage.release();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** The values, in row-major order. Waits for the device: the only call that does. */
  async read(): Promise<HostArray> {
    return this.backend.read(this.buffer, this.size);
  }
}

/** Where the gradient of a parameter is summed over a step's micro-batches, by ops that add where they can. */
export class Parameter extends Tensor {
  readonly gradient: Tensor;
  /** false until the first contribution of a step, which overwrites instead of adding */
  gradientFilled = false;
  /** whether AdamW decays it */
  readonly decay: boolean;
  /** the f32 numbers that an f16 parameter is the rounded copy of: what AdamW updates */
  readonly master: Tensor | undefined;
  /** a buffer that spans this gradient and others': of `members`, this one among them */
  joinedGradients: { buffer: DeviceBuffer; members: readonly Parameter[] } | undefined;

  constructor(storage: Storage, spec: { shape: Shape; name: string; decay: boolean; master?: Tensor }) {
    super(storage, { ...spec, requiresGrad: true });
    this.decay = spec.decay;
    this.master = spec.master;
    this.gradient = new Tensor(
      Storage.allocate(storage.backend, { shape: spec.shape, dtype: "f32", purpose: "gradients" }),
      { shape: spec.shape, name: `gradient of ${spec.name}` },
    );
  }

  /** A weight that starts as `data`, or as zeros. Matrices (two dims) are decayed, and of the given type; vectors stay f32, which costs next to nothing. */
  static of(
    backend: Backend,
    { shape, data, name, dtype }: { shape: Shape; data?: Float32Array; name: string; dtype: FloatType },
  ): Parameter {
    const matrix = shape.length > 1;
    const inHalf = dtype === "f16" && matrix;
    const spec = { shape, data, name };
    const { storage } = constant(backend, { ...spec, purpose: "weights", dtype: inHalf ? "f16" : "f32" });
    const master = inHalf ? constant(backend, { ...spec, purpose: "optimizer" }) : undefined;
    return new Parameter(storage, { shape, name, decay: matrix, master });
  }

  override dispose(): void {
    super.dispose();
    this.master?.dispose();
    this.gradient.dispose();
  }
}

/** A tensor outside any tape (weights, tables, optimizer state) holding `data`, or zeros without it. */
export function constant(
  backend: Backend,
  spec: { shape: Shape; data?: HostArray; dtype?: DType; purpose: Purpose; name?: string },
): Tensor {
  const dtype = spec.dtype ?? (spec.data instanceof Int32Array ? "i32" : "f32");
  if (spec.data && spec.data.length !== sizeOf(spec.shape))
    throw new RangeError(
      `${spec.name ?? "tensor"} [${spec.shape}] needs ${sizeOf(spec.shape)} values, got ${spec.data.length}`,
    );
  const storage = Storage.allocate(backend, { shape: spec.shape, dtype, purpose: spec.purpose });
  if (!backend.valueless)
    backend.write(
      storage.buffer,
      spec.data ?? (dtype === "i32" ? new Int32Array(sizeOf(spec.shape)) : new Float32Array(sizeOf(spec.shape))),
    );
  return new Tensor(storage, { shape: spec.shape, name: spec.name });
}

/** A tensor of nobody's tape, of another's type. */
export function scratch(like: Tensor, shape: Shape): Tensor {
  return new Tensor(Storage.allocate(like.backend, { shape, dtype: like.dtype, purpose: "scratch" }), { shape });
}
