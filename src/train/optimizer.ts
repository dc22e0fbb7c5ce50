// AdamW (Loshchilov & Hutter, arXiv 1711.05101) with global-norm clipping, as torch.optim.AdamW after
// clip_grad_norm_: the norm stays on the device, so that a step waits for nothing.

import type { Backend } from "../backend/backend.ts";
import type { DeviceBuffer } from "../backend/buffer.ts";
import { invariant } from "../backend/errors.ts";
import type { Layout, ReducedGradients } from "../parallel/layout.ts";
import { constant, type Parameter, type Tensor } from "../tensor/tensor.ts";

export interface AdamWOptions {
  beta1: number;
  beta2: number;
  eps: number;
  /** on parameters with two dims; none on those with one */
  weightDecay: number;
  /** largest global L2 norm of the gradient; 0: no clipping */
  clip: number;
}

export class AdamW {
  /** squared global L2 norm of the last step's gradient, before clipping, [1] */
  readonly normSquared: Tensor;
  /** updates so far, which the moments' bias depends on */
  updates = 0;
  readonly #states: ReadonlyMap<Parameter, State>;
  readonly #pieces: readonly Piece[];
  readonly #backend: Backend;
  readonly #layout: Layout;
  readonly #options: AdamWOptions;

  constructor(backend: Backend, options: AdamWOptions & { layout: Layout; parameters: readonly Parameter[] }) {
    this.#backend = backend;
    this.#layout = options.layout;
    this.#options = options;
    const states = options.parameters.map((parameter) => {
      const zeros = () => constant(backend, { shape: parameter.shape, purpose: "optimizer" });
      return { parameter, first: zeros(), second: zeros() };
    });
    this.#states = new Map(states.map((state) => [state.parameter, state]));
    this.#pieces = alike(states, options.layout, backend).flatMap((members) => joined(members, backend));
    this.normSquared = constant(backend, { shape: [1], purpose: "optimizer" });
  }

  /** Updates every parameter from its gradient, which `layout.reduceGradients` has made, and marks the gradients as used. A gradient
   *  that is not finite changes nothing. lossScale: how many times the loss's gradient they are, 1 when absent. */
  async step(options: { gradients: ReducedGradients; learningRate: number; lossScale?: number }): Promise<void> {
    this.updates++;
    const { beta1, beta2, eps, weightDecay, clip } = this.#options;
    await this.#layout.gradientNormSquared(options.gradients, this.normSquared);
    for (const { w, half, g, m, v, decay } of this.#pieces)
      this.#backend.run("adamw", {
        w,
        half,
        g,
        m,
        v,
        normSquared: this.normSquared.buffer,
        n: w.length,
        learningRate: options.learningRate,
        lossScale: options.lossScale ?? 1,
        beta1,
        beta2,
        eps,
        weightDecay: decay ? weightDecay : 0,
        correction1: 1 - beta1 ** this.updates,
        correction2: 1 - beta2 ** this.updates,
        clip,
      });
    for (const parameter of this.#states.keys()) parameter.gradientFilled = false;
  }

  /** The last step changed nothing, and is not one to AdamW. */
  forgetStep(): void {
    this.updates--;
  }

  /** The running means of a parameter's gradient and of its square, in the shape of this rank's block. */
  moments(parameter: Parameter): Pick<State, "first" | "second"> {
    const state = this.#states.get(parameter);
    invariant(state, `${parameter.name} belongs to another optimizer`);
    return state;
  }

  dispose(): void {
    for (const { first, second } of this.#states.values()) {
      first.dispose();
      second.dispose();
    }
    this.normSquared.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** A parameter with its first and second moment. */
interface State {
  parameter: Parameter;
  first: Tensor;
  second: Tensor;
}

/** What one kernel updates. */
interface Piece {
  /** in f32 */
  w: DeviceBuffer;
  half: DeviceBuffer | undefined;
  g: DeviceBuffer;
  m: DeviceBuffer;
  v: DeviceBuffer;
  decay: boolean;
}

/** Parameters joined are at most this many bytes together: joining holds them twice for a moment, and an update of more takes so long
 *  that starting it does not count. */
const joinedBytes = 2 ** 25;
/** Elements that may be left free between two of them. */
const joinedGap = 128;

/** Parameters that one kernel can update and one can sum the squares of: decayed alike, with as many copies. */
function alike(states: readonly State[], layout: Layout, backend: Backend): State[][] {
  const groups = new Map<string, { members: State[]; bytes: number }[]>();
  for (const state of states) {
    const { parameter } = state;
    const key = `${parameter.decay} ${layout.copies(parameter)}`;
    const bytes = 4 * (parameter.size + joinedGap);
    const known = groups.get(key) ?? [];
    groups.set(key, known);
    const last = known.at(-1);
    if (last && last.bytes + bytes <= Math.min(joinedBytes, backend.maxBufferBytes)) {
      last.members.push(state);
      last.bytes += bytes;
    } else known.push({ members: [state], bytes });
  }
  return [...groups.values()].flat().map(({ members }) => members);
}

/** The weights, gradients and moments of `states` in one piece of memory each, where the backend gains by it. */
function joined(states: readonly State[], backend: Backend): Piece[] {
  const { decay } = states[0].parameter;
  if (states.length === 1 || !backend.join)
    return states.map(({ parameter, first, second }) => {
      const { master, buffer, gradient } = parameter;
      const weights = master ? { w: master.buffer, half: buffer } : { w: buffer, half: undefined };
      return { ...weights, g: gradient.buffer, m: first.buffer, v: second.buffer, decay };
    });
  const join = (of: (state: State) => Tensor) => backend.join!(states.map((state) => of(state).buffer));
  const members = states.map(({ parameter }) => parameter);
  const w = join(({ parameter }) => parameter.master ?? parameter);
  // Matrices are decayed, and they alone have masters: all of these, or none.
  const half = members[0].master && join(({ parameter }) => parameter);
  const g = join(({ parameter }) => parameter.gradient);
  for (const parameter of members) parameter.joinedGradients = { buffer: g, members };
  return [{ w, half, g, m: join(({ first }) => first), v: join(({ second }) => second), decay }];
}
