// What goes wrong on a device is learned later than the call that caused it. This keeps, for each error, which
// call that was, until somebody can be told.

import { DeviceError, DeviceLostError, OutOfMemoryError, ValidationError } from "../errors.ts";

/** A backend call: its number in order of calling, and its description, formed only when needed. */
export interface Call {
  readonly order: number;
  text(): string;
}

/** A call that is described by what it was given. One is made for every kernel: a closure more would show. */
class DescribedCall<T> implements Call {
  constructor(
    readonly order: number,
    readonly describe: (name: string, given: T) => string,
    readonly name: string,
    readonly given: T,
  ) {}

  text(): string {
    return this.describe(this.name, this.given);
  }
}

export class Faults {
  #device: GPUDevice;
  #pending = new Set<Promise<void>>();
  #first: { order: number; error: DeviceError } | undefined;
  #lost: GPUDeviceLostInfo | undefined;
  #closed = false;
  #order = 0;
  /** Errors of calls up to this one follow from one already thrown. */
  #toldUpTo = -1;

  constructor(device: GPUDevice) {
    this.#device = device;
    void device.lost.then((info) => {
      this.#lost = info;
    });
    device.addEventListener("uncapturederror", (event) => {
      event.preventDefault();
      const call = { order: this.#order, text: () => "a call outside any error scope" };
      this.#record(call, { filter: "validation", message: event.error.message });
    });
  }

  /** Numbers the next call, after throwing what earlier ones caused. Its text is `describe(name, given)`.
   *  @throws DeviceError (a subclass) */
  call<T>(describe: (name: string, given: T) => string, name: string, given: T): Call {
    const call = new DescribedCall(this.#order++, describe, name, given);
    if (this.#closed || this.#first || this.#lost) this.#throwKnown(call);
    return call;
  }

  /** Runs `body`, and records under `call` the errors of these kinds that the device reports for it. */
  scope<T>(call: Call, { filters, body }: { filters: readonly GPUErrorFilter[]; body: () => T }): T {
    const close = this.open(filters);
    try {
      return body();
    } finally {
      close(call);
    }
  }

  /** As `scope`, for a body that is not one function: the function returned ends it. Scopes nest. */
  open(filters: readonly GPUErrorFilter[]): (call: Call) => void {
    for (const filter of filters) this.#device.pushErrorScope(filter);
    return (call) => {
      for (const filter of [...filters].reverse()) {
        const popped = this.#device.popErrorScope().then(
          (error) => {
            if (error) this.#record(call, { filter, message: error.message });
          },
          () => {}, // a lost device has no scopes; `lost` tells
        );
        const settled = popped.then(() => {
          this.#pending.delete(settled);
        });
        this.#pending.add(settled);
      }
    };
  }

  /** Waits for the reports of all calls so far.
   *  @throws DeviceError the first of them */
  async settle(call: Call): Promise<void> {
    await Promise.all(this.#pending);
    this.#throwKnown(call);
  }

  /** For a wait that failed without saying why: loss is the usual reason, and is told a little later.
   *  @throws DeviceError always */
  async explain(call: Call, cause: unknown): Promise<never> {
    await Promise.race([this.#device.lost, new Promise((resolve) => setTimeout(resolve, 1000))]);
    await this.settle(call);
    throw new DeviceError(`${call.text()}: ${cause instanceof Error ? cause.message : String(cause)}`, call.text());
  }

  /** From here on every call throws. */
  close(): void {
    this.#closed = true;
  }

  #throwKnown(call: Call): void {
    if (this.#closed)
      throw new DeviceError(`${call.text()}: this backend was disposed of; create another`, call.text());
    const first = this.#first;
    if (first) {
      this.#first = undefined;
      this.#toldUpTo = call.order;
      throw first.error;
    }
    if (this.#lost) {
      const why = this.#lost.message.split("\n")[0] || this.#lost.reason;
      throw new DeviceLostError(`${call.text()}: the device was lost (${why}); start the run again`, call.text());
    }
  }

  #record(call: Call, { filter, message }: { filter: GPUErrorFilter; message: string }): void {
    if (call.order <= this.#toldUpTo) return;
    if (this.#first && this.#first.order <= call.order) return;
    this.#first = { order: call.order, error: typed(call.text(), { filter, message }) };
  }
}

function typed(call: string, { filter, message }: { filter: GPUErrorFilter; message: string }): DeviceError {
  if (filter === "out-of-memory")
    return new OutOfMemoryError(
      `${call}: the device has no memory left for it; use a smaller batch, context or model, or more devices`,
      call,
    );
  if (filter === "internal") return new DeviceError(`${call}: the device's driver failed: ${message}`, call);
  return new ValidationError(`${call}: the device refused it: ${message}`, call);
}
