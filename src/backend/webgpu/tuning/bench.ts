// Checks variants and times them, on a backend of its own on the device: what a broken one causes there is nobody else's error.

import type { DeviceBuffer } from "../../buffer.ts";
import type { KernelArgs, KernelName } from "../../kernels.ts";
import { WebGpuBackend, type WebGpuBackendOptions } from "../backend.ts";
import type { Chooser } from "../plan.ts";
import { guard, type Trace, type Trial, type Variant } from "./family.ts";

/** Milliseconds of one sample at least, so that a wait for the device (0.06 ms in Node, 0.3 in Chromium) does not count; rounds at most;
 *  and milliseconds after which there is no further round beyond the least. */
const sampleMs = 4;
const mostRounds = 9;
const leastRounds = 3;
const patienceMs = 250;
/** Calls of a sample at most. */
const mostCalls = 512;
/** A first sample this many times another's is not followed by more: no neighbour on the machine is that loud for long. */
const hopeless = 4;

const isTrace = (value: unknown): value is Trace => (value as Partial<Trace> | undefined)?.data instanceof Float32Array;

/** A variant that is not right, and why. */
export class WrongVariantError extends Error {}

/** Takes the plan it is told to. */
export class Forced implements Chooser {
  generation = 0;
  #plan: Variant<KernelName>["plan"] | undefined;

  set plan(plan: Variant<KernelName>["plan"]) {
    if (plan !== this.#plan) this.generation++;
    this.#plan = plan;
  }

  choose<K extends KernelName>(): Variant<K>["plan"] | undefined {
    return this.#plan as Variant<K>["plan"] | undefined;
  }

  tune(): undefined {}
}

export class Bench {
  readonly #backend: WebGpuBackend;
  readonly #submit: () => void;
  readonly #forced = new Forced();

  /** @param options.submit ends what others have begun to encode: error scopes of a device nest, and theirs must not hold ours. */
  constructor({ submit, ...options }: Omit<WebGpuBackendOptions, "chooser" | "onDispose"> & { submit: () => void }) {
    this.#backend = new WebGpuBackend({ ...options, chooser: this.#forced });
    this.#submit = submit;
  }

  /** The trial's buffers, for `use`; gone afterwards.
   *  @throws OutOfMemoryError when the device has no room for them */
  async withTrial<K extends KernelName, T>(trial: Trial<K>, use: (call: TrialCall<K>) => Promise<T>): Promise<T> {
    const buffers = new Map<Trace, DeviceBuffer>();
    this.#submit();
    try {
      const args: Record<string, unknown> = { ...trial.args };
      for (const [name, value] of Object.entries(args)) if (isTrace(value)) args[name] = this.#buffer(value, buffers);
      await this.#backend.sync();
      return await use({ trial, args: args as KernelArgs[K], buffers });
    } finally {
      for (const buffer of buffers.values()) this.#backend.free(buffer);
      this.#submit();
      this.#backend.trim();
    }
  }

  #buffer(trace: Trace, buffers: Map<Trace, DeviceBuffer>): DeviceBuffer {
    const known = buffers.get(trace);
    if (known) return known;
    const { dtype, data } = trace;
    const buffer = this.#backend.allocate({ dtype, length: data.length, purpose: "scratch" });
    buffers.set(trace, buffer);
    this.#backend.write(buffer, data);
    return buffer;
  }

  /** Runs the variant once on the trial's results as they were in the beginning.
   *  @throws WrongVariantError when it computes something else; DeviceError and others when it does not run at all */
  async check<K extends KernelName>(
    variant: Variant<K>,
    { trial, args, buffers }: TrialCall<K>,
    kernel: K,
  ): Promise<void> {
    const written = trial.results.map((name) => ({
      name,
      trace: (trial.args as Record<string, unknown>)[name] as Trace,
    }));
    this.#submit();
    for (const { trace } of written) this.#backend.write(buffers.get(trace)!, trace.data);
    await this.#enqueued(() => this.#run(kernel, args, variant));
    const results: Record<string, Float32Array> = {};
    for (const { name, trace } of written) {
      this.#submit();
      const values = (await this.#backend.read(buffers.get(trace)!)) as Float32Array;
      const length = trace.data.length - guard;
      if (values.subarray(length).some((value) => !Number.isNaN(value)))
        throw new WrongVariantError(`writes behind the end of ${name}`);
      const missing = values.subarray(0, length).findIndex(Number.isNaN);
      if (missing >= 0) throw new WrongVariantError(`${name}[${missing}] is not a number`);
      results[name] = values;
    }
    const wrong = trial.wrongIn(results);
    if (wrong !== undefined) throw new WrongVariantError(wrong);
  }

  /** Milliseconds a call of each variant, the median of rounds in which they take turns; and the fastest.
   *  @throws DeviceError when one does not run */
  async time<K extends KernelName>(
    variants: readonly Variant<K>[],
    { args }: TrialCall<K>,
    kernel: K,
  ): Promise<Timing[]> {
    const started = performance.now();
    const entries: { variant: Variant<K>; calls: number; samples: number[] }[] = [];
    for (const variant of variants) {
      let calls = 1;
      let ms = await this.#sample(kernel, { args, variant, calls });
      while (ms < sampleMs && calls < mostCalls) {
        calls = Math.min(mostCalls, Math.max(2 * calls, Math.ceil((calls * sampleMs) / Math.max(ms, 0.01))));
        ms = await this.#sample(kernel, { args, variant, calls });
      }
      entries.push({ variant, calls, samples: [ms / calls] });
    }
    const least = Math.min(...entries.map(({ samples }) => samples[0]));
    for (let round = 1; round < mostRounds; round++) {
      if (round >= leastRounds && performance.now() - started > patienceMs) break;
      for (const { variant, calls, samples } of entries)
        if (samples[0] <= hopeless * least)
          samples.push((await this.#sample(kernel, { args, variant, calls })) / calls);
    }
    return entries.map(({ samples }) => {
      const sorted = samples.toSorted((a, b) => a - b);
      return { medianMs: sorted[sorted.length >> 1], leastMs: sorted[0] };
    });
  }

  async #sample<K extends KernelName>(
    kernel: K,
    { args, variant, calls }: { args: KernelArgs[K]; variant: Variant<K>; calls: number },
  ): Promise<number> {
    const started = performance.now();
    await this.#enqueued(() => {
      for (let call = 0; call < calls; call++) this.#run(kernel, args, variant);
    });
    return performance.now() - started;
  }

  #run<K extends KernelName>(kernel: K, args: KernelArgs[K], { plan }: Variant<K>): void {
    this.#forced.plan = plan as Variant<KernelName>["plan"];
    this.#backend.run(kernel, args);
  }

  /** What `work` enqueues is submitted in the same turn, whatever it throws: nobody else's calls come between. */
  async #enqueued(work: () => void): Promise<void> {
    this.#submit();
    let thrown: { error: unknown } | undefined;
    try {
      work();
    } catch (error) {
      thrown = { error };
    }
    await this.#backend.sync();
    if (thrown) throw thrown.error;
  }
}

export interface Timing {
  readonly medianMs: number;
  readonly leastMs: number;
}

/** A trial with its arrays in buffers. */
export interface TrialCall<K extends KernelName> {
  readonly trial: Trial<K>;
  readonly args: KernelArgs[K];
  readonly buffers: ReadonlyMap<Trace, DeviceBuffer>;
}
