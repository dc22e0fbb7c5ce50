// When each dispatch ran: timestamps that the device writes around passes of one dispatch each, put on the host's clock. Loaded by those
// who trace.

import { nowUs } from "../clock.ts";
import { PassTimes } from "../pass-times.ts";
import type { Timer } from "./stream.ts";

/** QUERY_RESOLVE | COPY_SRC and MAP_READ | COPY_DST; the global GPUBufferUsage is missing in Node. */
const resolveUsage = 0x200 | 0x4;
const readUsage = 0x1 | 0x8;

/** GPUMapMode.READ */
const mapRead = 1;

/** Round trips by which the two clocks are compared: the device's stamp lies in each of them. */
const roundTrips = 20;

const untold = (): void => {};

export class Timing implements Timer {
  /** half of what is left of the interval in which the clocks' difference lies, microseconds */
  withinUs = 0;
  readonly #device: GPUDevice;
  readonly #queries: GPUQuerySet;
  readonly #resolved: GPUBuffer;
  readonly #bytes: number;
  readonly #free: GPUBuffer[] = [];
  readonly #times = new PassTimes();
  /** the device's clock when this began, nanoseconds, and the host's then */
  #zeroNs: bigint | undefined;
  #zeroUs = 0;
  #told: Promise<unknown> = Promise.resolve();

  /** dispatches: of a submit, at most */
  constructor(device: GPUDevice, dispatches: number) {
    this.#device = device;
    this.#bytes = 16 * dispatches;
    this.#queries = device.createQuerySet({ type: "timestamp", count: 2 * dispatches });
    this.#resolved = device.createBuffer({ size: this.#bytes, usage: resolveUsage });
  }

  /** The next kernel's dispatches, and who is told of it. */
  kernel(dispatches: number, ran: (startUs: number, endUs: number) => void = untold): void {
    this.#times.asked(dispatches, ran);
  }

  pass(index: number): GPUComputePassDescriptor {
    const [beginningOfPassWriteIndex, endOfPassWriteIndex] = [2 * index, 2 * index + 1];
    return { timestampWrites: { querySet: this.#queries, beginningOfPassWriteIndex, endOfPassWriteIndex } };
  }

  finish(encoder: GPUCommandEncoder, count: number): () => void {
    if (count === 0) return untold;
    const stamps = this.#stamps(encoder, count);
    return () => {
      const read = stamps();
      // In the order of submits.
      this.#told = Promise.all([read, this.#told]).then(([ns]) => this.#times.take(ns.map((at) => this.#hostUs(at))));
      this.#told.catch(untold);
    };
  }

  /** Compares the clocks, while the device has nothing to do. */
  async calibrate(): Promise<void> {
    let [least, most] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
    for (let trip = 0; trip < roundTrips; trip++) {
      const encoder = this.#device.createCommandEncoder();
      encoder.beginComputePass(this.pass(0)).end();
      const stamps = this.#stamps(encoder, 1);
      const commands = encoder.finish();
      const beforeUs = nowUs();
      this.#device.queue.submit([commands]);
      const [startNs, endNs] = await stamps();
      const afterUs = nowUs();
      // Where the device's clock stands at zero, the host's is between these.
      least = Math.max(least, beforeUs - startNs / 1000);
      most = Math.min(most, afterUs - endNs / 1000);
    }
    this.#zeroUs = (least + most) / 2;
    this.withinUs = Math.abs(most - least) / 2;
  }

  /** Resolves when all that was submitted is told of. */
  async end(): Promise<void> {
    await this.#told;
    this.#queries.destroy();
    this.#resolved.destroy();
    for (const buffer of this.#free) buffer.destroy();
  }

  #hostUs = (ns: number): number => this.#zeroUs + ns / 1000;

  /** Reads start and end of each of `count` passes once the commands are submitted: nanoseconds since the first that was ever read. */
  #stamps(encoder: GPUCommandEncoder, count: number): () => Promise<Float64Array> {
    const bytes = 16 * count;
    const to = this.#free.pop() ?? this.#device.createBuffer({ size: this.#bytes, usage: readUsage });
    encoder.resolveQuerySet(this.#queries, 0, 2 * count, this.#resolved, 0);
    encoder.copyBufferToBuffer(this.#resolved, 0, to, 0, bytes);
    return async () => {
      await to.mapAsync(mapRead, 0, bytes);
      const stamps = new BigUint64Array(to.getMappedRange(0, bytes));
      this.#zeroNs ??= stamps[0];
      const zero = this.#zeroNs;
      const ns = Float64Array.from(stamps, (stamp) => Number(stamp - zero));
      to.unmap();
      this.#free.push(to);
      return ns;
    };
  }
}

export async function startTiming(device: GPUDevice, dispatches: number): Promise<Timing> {
  const timing = new Timing(device, dispatches);
  await timing.calibrate();
  return timing;
}
