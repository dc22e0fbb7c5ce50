// AdamW (Loshchilov & Hutter, arXiv 1711.05101) with global-norm clipping, as torch.optim.AdamW after
// clip_grad_norm_: the norm stays on the device, so that a step waits for nothing.

import type { Backend } from "../backend/backend.ts";
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
  readonly #moments: readonly { parameter: Parameter; first: Tensor; second: Tensor }[];
  readonly #backend: Backend;
  readonly #layout: Layout;
  readonly #options: AdamWOptions;
  #steps = 0;

  constructor(backend: Backend, options: AdamWOptions & { layout: Layout; parameters: readonly Parameter[] }) {
    this.#backend = backend;
    this.#layout = options.layout;
    this.#options = options;
    const zeros = (parameter: Parameter) => constant(backend, { shape: parameter.shape, purpose: "optimizer" });
    this.#moments = options.parameters.map((parameter) => ({
      parameter,
      first: zeros(parameter),
      second: zeros(parameter),
    }));
    this.normSquared = constant(backend, { shape: [1], purpose: "optimizer" });
  }

  /** Updates every parameter from its gradient, which `layout.reduceGradients` has made, and marks the gradients as used. A gradient
   *  that is not finite changes nothing. */
  async step(options: { gradients: ReducedGradients; learningRate: number }): Promise<void> {
    this.#steps++;
    const { beta1, beta2, eps, weightDecay, clip } = this.#options;
    await this.#layout.gradientNormSquared(options.gradients, this.normSquared);
    for (const { parameter, first, second } of this.#moments) {
      this.#backend.run("adamw", {
        w: parameter.buffer,
        g: parameter.gradient.buffer,
        m: first.buffer,
        v: second.buffer,
        normSquared: this.normSquared.buffer,
        n: parameter.size,
        learningRate: options.learningRate,
        beta1,
        beta2,
        eps,
        weightDecay: parameter.decay ? weightDecay : 0,
        correction1: 1 - beta1 ** this.#steps,
        correction2: 1 - beta2 ** this.#steps,
        clip,
      });
      parameter.gradientFilled = false;
    }
  }

  dispose(): void {
    for (const { first, second } of this.#moments) {
      first.dispose();
      second.dispose();
    }
    this.normSquared.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
