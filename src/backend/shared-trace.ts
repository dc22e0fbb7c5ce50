// Ranks that share a device and its trace: each is told of its own kernels only.

import type { Backend, KernelWatch } from "./backend.ts";
import { deferred } from "./deferred.ts";

const untold = (): void => {};

export class SharedTrace {
  /** of the rank whose call is under way */
  current: KernelWatch | undefined;
  #watches = 0;
  #started: Promise<number> | undefined;
  #ended = deferred<number>();
  readonly #watch: KernelWatch = (kernel, args) => this.current?.(kernel, args) ?? untold;

  get active(): boolean {
    return this.#watches > 0;
  }

  /** Another rank watches; the first one's call starts the device's trace. */
  async add(device: Backend): Promise<number> {
    if (this.#watches++ === 0) {
      this.#ended = deferred();
      this.#started = device.trace?.(this.#watch);
    }
    return (await this.#started) ?? 0;
  }

  /** A rank no longer does. Resolves for all ranks once the last one has ended the device's trace. */
  remove(device: Backend): Promise<number> {
    const { promise, resolve, reject } = this.#ended;
    if (--this.#watches === 0) {
      this.current = undefined;
      Promise.resolve(device.trace?.(undefined) ?? 0).then(resolve, reject);
    }
    return promise;
  }
}
