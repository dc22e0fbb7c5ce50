// Reverse-mode autograd over one step: ops record what their vjp needs, backward() walks the record the other
// way and frees as it goes. A tape that does not record (evaluation, generation) only owns the temporaries.
// Not a graph compiler: kernels run when ops are called.

import type { Backend } from "../backend/backend.ts";
import type { DeviceBuffer, DType, HostArray } from "../backend/buffer.ts";
import { invariant } from "../backend/errors.ts";
import type { Purpose } from "../backend/memory.ts";
import { Parameter, type Shape, Storage, Tensor, type TensorSpec } from "./tensor.ts";

/** An op's entry: how the gradient of its output becomes gradients of its inputs. */
interface Node {
  op: string;
  output: Tensor;
  saved: Storage[];
  vjp: (dy: Tensor, gradients: Gradients) => void | Promise<void>;
}

/** Where a vjp puts its results. Each method does nothing for an input that needs no gradient. */
export interface Gradients {
  /** whether x needs a gradient: lets a vjp skip work that several inputs share */
  wants(x: Tensor): boolean;
  /** for kernels that can add: `kernel(dx, accumulate)` */
  accumulate(x: Tensor, kernel: (dx: DeviceBuffer, accumulate: boolean) => void): void;
  /** for gradients that arrive while waiting for other ranks: where they go, and whether they add to what is there */
  destination(x: Tensor): { tensor: Tensor; accumulate: boolean } | undefined;
  /** for kernels that overwrite */
  write(x: Tensor, kernel: (dx: DeviceBuffer) => void): void;
  /** the gradient is dy itself */
  pass(x: Tensor, dy: Tensor): void;
}

/** Called with each op's name and output as it is recorded: how a run finds the first tensor that went bad. */
export type Observer = (op: string, output: Tensor) => void;

/** Called with each tensor that an op makes of others, before it has its values. */
type Follower = (op: string, made: { output: Tensor; inputs: readonly (Tensor | undefined)[] }) => void;
let follower: Follower | undefined;

/** One for all tapes: how checks follow tensors through ops that know nothing of them. Without one it costs nothing. */
export function followOps(follow: Follower | undefined): void {
  follower = follow;
}

/** A tensor that a tape made; parameters and constants are none. Here, so that tensors know nothing of tapes. */
class TapeTensor extends Tensor {
  constructor(
    storage: Storage,
    spec: TensorSpec,
    readonly tape: Tape,
  ) {
    super(storage, spec);
  }
}

export class Tape implements Gradients {
  readonly backend: Backend;
  readonly recording: boolean;
  readonly #observer: Observer | undefined;
  #owned = new Set<Tensor>();
  #kept: Disposable[] = [];
  #nodes: Node[] = [];
  #gradients = new Map<Tensor, Tensor>();

  constructor(backend: Backend, options: { recording: boolean; observer?: Observer }) {
    this.backend = backend;
    this.recording = options.recording;
    this.#observer = options.observer;
  }

  /** An uninitialised tensor that lives until it, or the tape, is disposed. */
  empty(spec: { shape: Shape; dtype?: DType; purpose?: Purpose; name?: string; requiresGrad?: boolean }): Tensor {
    const { dtype = "f32", purpose = "activations" } = spec;
    return this.#own(Storage.allocate(this.backend, { shape: spec.shape, dtype, purpose }), spec);
  }

  /** Host data on this tape: token ids, targets. */
  input(data: HostArray, spec: { shape: Shape; name?: string }): Tensor {
    const dtype = data instanceof Int32Array ? "i32" : "f32";
    const tensor = this.empty({ shape: spec.shape, name: spec.name, dtype });
    this.backend.write(tensor.buffer, data);
    return tensor;
  }

  /** Disposes `thing` with the tape. */
  keep<T extends Disposable>(thing: T): T {
    this.#kept.push(thing);
    return thing;
  }

  /** Another handle on x's memory that belongs to this tape. */
  view(x: Tensor, spec: { shape?: Shape; requiresGrad?: boolean } = {}): Tensor {
    const view = this.#own(x.storage.retain(), {
      shape: spec.shape ?? x.shape,
      name: x.name,
      requiresGrad: spec.requiresGrad ?? x.requiresGrad,
    });
    follower?.("view", { output: view, inputs: [x] });
    return view;
  }

  /** The output of an op over `inputs`, of the first one's type unless the op says otherwise. Not differentiable until `record` says how. */
  output(op: string, spec: { shape: Shape; inputs: readonly (Tensor | undefined)[]; dtype?: DType }): Tensor {
    const { shape, inputs } = spec;
    const requiresGrad = this.recording && inputs.some((x) => x?.requiresGrad);
    const output = this.empty({ shape, dtype: spec.dtype ?? inputs[0]?.dtype, name: op, requiresGrad });
    follower?.(op, { output, inputs: spec.inputs });
    return output;
  }

  /** The output of an op that has its values already, in memory of its own: what a collective returned. Takes over the handle. */
  outputOf(op: string, spec: { values: Tensor; inputs: readonly (Tensor | undefined)[] }): Tensor {
    const { values, inputs } = spec;
    const requiresGrad = this.recording && inputs.some((x) => x?.requiresGrad);
    const output = this.#own(values.storage.retain(), { shape: values.shape, name: op, requiresGrad });
    if (!values.storage.borrowed) this.backend.retag(values.buffer, "activations");
    values.dispose();
    follower?.(op, { output, inputs });
    return output;
  }

  /** Remembers how to differentiate `output`; keeps `saved` alive until then. */
  record(node: {
    op: string;
    output: Tensor;
    saved: readonly (Tensor | undefined)[];
    vjp: (dy: Tensor, gradients: Gradients) => void | Promise<void>;
  }): Tensor {
    this.#observer?.(node.op, node.output);
    if (!node.output.requiresGrad) return node.output;
    const saved: Storage[] = [];
    for (const x of node.saved) if (x) saved.push(x.storage.retain());
    this.#nodes.push({ op: node.op, output: node.output, saved, vjp: node.vjp });
    return node.output;
  }

  /** Runs `block` without keeping its intermediates; backward runs it again. Same bits, less memory, one more forward.
   *  `block` may use parameters and constants, but of this tape's tensors only its argument. Chen et al., arXiv 1604.06174. */
  async checkpoint(x: Tensor, block: (x: Tensor) => Promise<Tensor>): Promise<Tensor> {
    if (!this.recording) return block(x);
    const output = await this.nested(false, async (inner) => {
      const y = await block(inner.view(x));
      return this.view(y, { requiresGrad: true });
    });
    return this.record({
      op: "checkpoint",
      output,
      saved: [x],
      vjp: (dy, gradients) =>
        this.nested(true, async (inner) => {
          const again = inner.view(x, { requiresGrad: true });
          const y = await block(again);
          // Only its place in the record is needed, not its values.
          y.dispose();
          await inner.backward(y, dy);
          const dx = inner.gradient(again);
          if (dx) gradients.pass(x, dx);
        }),
    });
  }

  /** Runs `run` with a tape of its own, that ends with it. */
  async nested<T>(recording: boolean, run: (inner: Tape) => Promise<T>): Promise<T> {
    using inner = new Tape(this.backend, { recording, observer: this.#observer });
    return await run(inner);
  }

  /** Adds d(loss)/d(parameter) to every parameter's gradient, given `seed` = the gradient of `loss` (1 if absent; then loss is [1]).
   *  Frees what each op saved as soon as it is used. */
  async backward(loss: Tensor, seed?: Tensor): Promise<void> {
    invariant(this.recording, "backward on a tape that does not record");
    if (seed) this.#gradients.set(loss, new Tensor(seed.storage.retain(), { shape: seed.shape }));
    else this.accumulate(loss, (dx) => this.backend.run("fill", { y: dx, n: 1, value: 1 }));
    for (let node = this.#nodes.pop(); node; node = this.#nodes.pop()) {
      const dy = this.#gradients.get(node.output);
      try {
        if (dy) await node.vjp(dy, this);
      } finally {
        for (const storage of node.saved) storage.release();
      }
      this.#gradients.delete(node.output);
      dy?.dispose();
    }
  }

  /** After backward: the gradient of a tensor that no op of this tape made (a view). The tape keeps owning it. */
  gradient(x: Tensor): Tensor | undefined {
    return this.#gradients.get(x);
  }

  wants(x: Tensor): boolean {
    return x.requiresGrad;
  }

  destination(x: Tensor): { tensor: Tensor; accumulate: boolean } | undefined {
    if (!x.requiresGrad) return undefined;
    if (x instanceof Parameter) {
      const accumulate = x.gradientFilled;
      x.gradientFilled = true;
      return { tensor: x.gradient, accumulate };
    }
    const present = this.#ownGradient(x);
    return present ? { tensor: present, accumulate: true } : { tensor: this.#newGradient(x), accumulate: false };
  }

  accumulate(x: Tensor, kernel: (dx: DeviceBuffer, accumulate: boolean) => void): void {
    const to = this.destination(x);
    if (to) kernel(to.tensor.buffer, to.accumulate);
  }

  write(x: Tensor, kernel: (dx: DeviceBuffer) => void): void {
    this.accumulate(x, (dx, accumulate) => {
      if (!accumulate) return kernel(dx);
      const part = this.backend.allocate({ dtype: dx.dtype, length: x.size, purpose: "scratch" });
      kernel(part);
      this.backend.run("axpy", { x: part, y: dx, n: x.size, alpha: 1 });
      this.backend.free(part);
    });
  }

  pass(x: Tensor, dy: Tensor): void {
    if (!x.requiresGrad) return;
    if (x instanceof Parameter || this.#gradients.has(x)) {
      this.accumulate(x, (dx, accumulate) => {
        if (accumulate) this.backend.run("axpy", { x: dy.buffer, y: dx, n: x.size, alpha: 1 });
        else this.backend.run("scale", { x: dy.buffer, y: dx, n: x.size, alpha: 1 });
      });
    } else this.#gradients.set(x, new Tensor(dy.storage.retain(), { shape: x.shape }));
  }

  /** x's gradient in memory of its own: one that `pass` shared is copied before the first addition to it. */
  #ownGradient(x: Tensor): Tensor | undefined {
    const present = this.#gradients.get(x);
    if (!present?.storage.shared) return present;
    this.#gradients.delete(x);
    const copy = this.#newGradient(x);
    this.backend.run("scale", { x: present.buffer, y: copy.buffer, n: x.size, alpha: 1 });
    present.dispose();
    return copy;
  }

  #newGradient(x: Tensor): Tensor {
    const storage = Storage.allocate(this.backend, { shape: x.shape, dtype: x.dtype, purpose: "scratch" });
    const gradient = new Tensor(storage, { shape: x.shape, name: `gradient of ${x.name}` });
    this.#gradients.set(x, gradient);
    return gradient;
  }

  #own(storage: Storage, spec: { shape: Shape; name?: string; requiresGrad?: boolean }): Tensor {
    const tensor = new TapeTensor(storage, spec, this);
    this.#owned.add(tensor);
    return tensor;
  }

  /** Frees everything this tape still holds. */
  dispose(): void {
    for (const node of this.#nodes) for (const storage of node.saved) storage.release();
    for (const gradient of this.#gradients.values()) gradient.dispose();
    for (const tensor of this.#owned) tensor.dispose();
    for (const thing of this.#kept) thing[Symbol.dispose]();
    this.#kept = [];
    this.#nodes = [];
    this.#gradients.clear();
    this.#owned.clear();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The tape that the op's inputs live on.
 *  @throws TypeError when none of them does: an op needs at least one tensor that a tape made */
export function tapeOf(...inputs: readonly (Tensor | undefined)[]): Tape {
  for (const x of inputs) if (x instanceof TapeTensor) return x.tape;
  throw new TypeError("an op needs an input that lives on a tape: start from tape.input(...) or tape.view(weight)");
}
