// Ranks that share a device and its trace: each is told of its own kernels only.

import type { Backend, KernelWatch } from "./backend.ts";
import { deferred } from "./deferred.ts";

const untold = (): void => {};

export class SharedTrace {
  /** of the rank whose call is under way */
  current: KernelWatch | undefined;
  #watches = 0;
  #started: Promise<void> | undefined;
  #ended = deferred<void>();
  readonly #watch: KernelWatch = (kernel, args) => this.current?.(kernel, args) ?? untold;

  get active(): boolean {
    return this.#watches > 0;
  }

  /** Another rank watches; the first one's call starts the device's trace. */
  async add(device: Backend): Promise<void> {
    if (this.#watches++ === 0) {
      this.#ended = deferred();
      this.#started = device.trace?.(this.#watch);
    }
    await this.#started;
  }

  /** A rank no longer does. Resolves for all ranks once the last one has ended the device's trace. */
  remove(device: Backend): Promise<void> {
    const { promise, resolve, reject } = this.#ended;
    if (--this.#watches === 0) {
      this.current = undefined;
      Promise.resolve(device.trace?.(undefined)).then(resolve, reject);
    }
    return promise;
  }
}
