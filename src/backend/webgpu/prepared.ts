// Kernel calls made ready for the stream, and found again: a step of training makes the same ones as the step before, on other buffers.

import type { DeviceBuffer } from "../buffer.ts";
import type { KernelArgs, KernelName } from "../kernels.ts";
import type { Call } from "./faults.ts";
import { checkNames, type Pipeline, type Pipelines } from "./pipelines.ts";
import type { Chooser, DeviceFacts, Dispatch, Plan, Workshop } from "./plan.ts";
import { plans } from "./plans.ts";

/** A dispatch with everything in it that does not depend on where its buffers are. */
export interface PreparedDispatch {
  readonly pipeline: Pipeline;
  /** which of the call's buffers each of pipeline.storage is */
  readonly bound: readonly number[];
  /** the uniforms' bits */
  readonly params: Uint32Array;
  readonly workgroups: readonly [number, number, number];
}

interface Entry {
  readonly facts: readonly unknown[];
  readonly dispatches: readonly PreparedDispatch[];
  /** lengths of what the plan borrowed, in its order */
  readonly scratch: readonly number[];
  /** another one of the same hash */
  readonly next: Entry | undefined;
}

/** Calls kept. A training step makes some dozens of different ones; those that are different in every step (AdamW's rates, dropout's step)
 *  fill the rest, until all go and are prepared again. */
const maxKept = 4096;

const f64 = new Float64Array(1);
const halves = new Int32Array(f64.buffer);

export class PreparedCalls {
  readonly #pipelines: Pipelines;
  readonly #chooser: Chooser | undefined;
  readonly #lend: (length: number) => DeviceBuffer;
  readonly #workshop: Workshop;
  /** of the chooser, when the calls kept were prepared */
  #generation = 0;
  readonly #entries = new Map<number, Entry>();
  #count = 0;
  /** All of the call read last that a plan may depend on: names and values of its scalars, types of its buffers and which of them are one.
   *  Not their lengths: a plan knows sizes from the scalars. The first #length of these: an array made shorter loses its memory. */
  readonly #facts: unknown[] = [];
  #length = 0;
  #hash = 0;
  /** lengths borrowed by the plan under way */
  #borrowed: number[] = [];
  /** the different buffers of the call read last, in the order of its arguments, and older ones behind them */
  readonly #buffers: DeviceBuffer[] = [];
  #bufferCount = 0;

  /** `lend` gives a plan its scratch, see Workshop. */
  constructor(
    pipelines: Pipelines,
    options: { facts: DeviceFacts; chooser: Chooser | undefined; lend: (length: number) => DeviceBuffer },
  ) {
    this.#pipelines = pipelines;
    this.#chooser = options.chooser;
    this.#lend = options.lend;
    this.#workshop = { ...options.facts, scratch: (length) => this.#borrow(length) };
  }

  /** The dispatches of a call, made by its kernel's plan where there was none like it.
   *  @throws Error where plan and shader do not fit each other */
  prepare<K extends KernelName>(kernel: K, args: KernelArgs[K], call: Call): readonly PreparedDispatch[] {
    if (this.#chooser && this.#chooser.generation !== this.#generation) {
      this.#generation = this.#chooser.generation;
      this.#forget();
    }
    this.#bufferCount = 0;
    this.#facts[0] = kernel;
    this.#length = 1;
    this.#hash = 0;
    this.#read(args as unknown as Record<string, unknown>);
    let entry = this.#entries.get(this.#hash);
    while (entry && !this.#same(entry.facts)) entry = entry.next;
    if (!entry) return this.#keep(kernel, args, call);
    for (let i = 0; i < entry.scratch.length; i++) this.#add(this.#lend(entry.scratch[i]));
    return entry.dispatches;
  }

  /** Prepares a dispatch of no call. */
  single(dispatch: Dispatch, call: Call): PreparedDispatch {
    this.#bufferCount = 0;
    checkNames(this.#pipelines.get(dispatch, call), dispatch);
    return this.#ready(dispatch, call);
  }

  /** Buffer `index` of the call or dispatch prepared last: one of its arguments, or one that its plan borrowed. */
  buffer(index: number): DeviceBuffer {
    return this.#buffers[index];
  }

  #keep<K extends KernelName>(kernel: K, args: KernelArgs[K], call: Call): readonly PreparedDispatch[] {
    const plan = this.#chooser?.choose(kernel, args) ?? (plans[kernel] as Plan<K>);
    const scratch: number[] = [];
    this.#borrowed = scratch;
    const dispatches = plan(args, this.#workshop).map((dispatch) => this.#ready(dispatch, call));
    if (this.#count === maxKept) this.#forget();
    this.#count++;
    const facts = this.#facts.slice(0, this.#length);
    this.#entries.set(this.#hash, { facts, dispatches, scratch, next: this.#entries.get(this.#hash) });
    return dispatches;
  }

  #borrow(length: number): DeviceBuffer {
    const buffer = this.#lend(length);
    this.#borrowed.push(length);
    this.#add(buffer);
    return buffer;
  }

  /** @returns its index */
  #add(buffer: DeviceBuffer): number {
    for (let i = 0; i < this.#bufferCount; i++) if (this.#buffers[i] === buffer) return i;
    this.#buffers[this.#bufferCount] = buffer;
    return this.#bufferCount++;
  }

  #ready(dispatch: Dispatch, call: Call): PreparedDispatch {
    const { shader, buffers, params, workgroups } = dispatch;
    const pipeline = this.#pipelines.get(dispatch, call);
    const bound = pipeline.storage.map(({ name }) => {
      if (!buffers[name]) throw new Error(`${shader}.wgsl: no buffer is given for ${name}`);
      return this.#add(buffers[name]);
    });
    return { pipeline, bound, params: bitsOf(pipeline, params), workgroups };
  }

  #forget(): void {
    this.#entries.clear();
    this.#count = 0;
  }

  #read(args: Record<string, unknown>): void {
    const facts = this.#facts;
    let length = this.#length;
    let hash = this.#hash;
    for (const name in args) {
      const value = args[name];
      facts[length++] = name;
      if (typeof value === "number") {
        f64[0] = value;
        hash = Math.imul(Math.imul(hash ^ halves[0], 0x9e3779b1) ^ halves[1], 0x85ebca6b);
        facts[length++] = value;
      } else if (typeof value === "object" && value !== null) {
        const { dtype } = value as Partial<DeviceBuffer>;
        if (dtype === undefined) {
          // A copy's strides, attention's dropout.
          this.#length = length;
          this.#hash = hash;
          this.#read(value as Record<string, unknown>);
          length = this.#length;
          hash = this.#hash;
        } else {
          facts[length++] = dtype;
          facts[length++] = this.#add(value as DeviceBuffer);
        }
      } else {
        hash = (hash << 1) ^ Number(value === true);
        facts[length++] = value;
      }
    }
    this.#length = length;
    this.#hash = hash & 0x3fffffff;
  }

  #same(facts: readonly unknown[]): boolean {
    if (facts.length !== this.#length) return false;
    for (let i = 0; i < facts.length; i++) if (facts[i] !== this.#facts[i]) return false;
    return true;
  }
}

/** The uniforms as the shader reads them, 4 bytes each. */
function bitsOf({ shader, fields }: Pipeline, params: Dispatch["params"]): Uint32Array {
  const u32 = new Uint32Array(fields.length);
  const i32 = new Int32Array(u32.buffer);
  const f32 = new Float32Array(u32.buffer);
  for (const [i, { name, type }] of fields.entries()) {
    const value = params?.[name];
    if (value === undefined) throw new Error(`${shader}.wgsl: Params.${name} is not given`);
    if (type === "f32") f32[i] = value;
    else if (type === "u32") u32[i] = value;
    else i32[i] = value;
  }
  return u32;
}
