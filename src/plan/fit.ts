// Rates of a device and of what is between two, from the times that kernels and messages took.

import type { Backend } from "../backend/backend.ts";
import type { DType } from "../backend/buffer.ts";
import { median } from "./distribution.ts";
import { kernelSeconds } from "./machine.ts";
import type { Observed } from "./observe.ts";
import type { DeviceProfile, NetworkLevel, ProductRate } from "./profile.ts";
import type { KernelWork } from "./program.ts";
import type { Origin, Quantity } from "./quantity.ts";

/** Elements of a copy that no cache holds. */
export const copied = 2 ** 22;

export const measured = (value: number, note?: string) => quantityOf(value, "measured", note);
export const estimate = (value: number, note?: string) => quantityOf(value, "estimate", note);
const quantityOf = (value: number, origin: Origin, note: string | undefined): Quantity =>
  note === undefined ? { value, origin } : { value, origin, note };

/** From round trips of a short and of a long message, in seconds. */
export function networkFrom(
  name: string,
  { short, long, longBytes }: { short: readonly number[]; long: readonly number[]; longBytes: number },
): NetworkLevel {
  const [latency, whole] = [median(short) / 2, median(long) / 2];
  const bytesPerSecond =
    whole > latency
      ? measured(longBytes / (whole - latency))
      : estimate(longBytes / whole, "a long message took no longer than a short one: its bytes over all of its time");
  return { ...unknownNetwork, name, latencySeconds: measured(latency), bytesPerSecond };
}

/** Nothing was measured between devices: of one machine's memory. */
export const unknownNetwork: NetworkLevel = {
  name: "memory of one machine",
  devices: undefined,
  latencySeconds: estimate(50e-6),
  bytesPerSecond: estimate(1e9),
  uplinkBytesPerSecond: undefined,
  downlinkBytesPerSecond: undefined,
  mediumBytesPerSecond: undefined,
};

/** What a kernel is at least, whatever it does. */
const smallElements = 256;

/** Rates of a device from its kernels, copies of `copied` elements and products of all sorts among them. */
export function deviceFrom(
  kernels: readonly Observed[],
  { maxBufferBytes }: Pick<Backend, "maxBufferBytes">,
): DeviceProfile {
  const time = ({ seconds }: Observed) => median(seconds);
  const small = kernels.filter(({ work }) => work.bytes <= 4 * smallElements);
  const least = small.length > 0 ? median(small.map(time)) : Math.min(...kernels.map(time));
  const large = kernels.filter(({ work }) => work.bytes > 64 * smallElements);
  const rateOf = (some: readonly Observed[], of: (work: KernelWork) => number): number => {
    const spent = some.reduce((sum, each) => sum + Math.max(1e-9, time(each) - least) * each.seconds.length, 0);
    return some.reduce((sum, { work, seconds }) => sum + of(work) * seconds.length, 0) / spent;
  };
  const copies = kernels.filter(({ work }) => work.kernel === "scale" && work.flops === copied);
  const bytesPerSecond = rateOf(copies, ({ bytes }) => bytes);
  const rates: Partial<Record<KernelWork["kernel"], ReturnType<typeof measured>>> = {};
  for (const name of new Set(large.map(({ work }) => work.kernel))) {
    const own = large.filter(({ work }) => work.kernel === name && work.flops > 0);
    if (name === "matmul" || own.length === 0) continue;
    rates[name] = measured(rateOf(own, ({ flops }) => flops));
  }
  const others = Object.values(rates).map(({ value }) => value);
  const ofType = (dtype: DType) => kernels.filter(({ work }) => work.product?.dtype === dtype);
  const [f32, halves] = [productRate(ofType("f32"), least), ofType("f16")];
  const f16 =
    halves.length > 0
      ? productRate(halves, least)
      : asEstimate(f32, "as of f32: there is no f16 on this backend to measure");
  return {
    memoryBytes: estimate(
      maxBufferBytes,
      "the largest buffer that the device gives: it does not tell how much memory it has",
    ),
    products: { f32, f16 },
    flopsPerSecond: measured(median(others)),
    bytesPerSecond: measured(bytesPerSecond),
    launchSeconds: measured(least),
    localMessageSeconds: undefined,
    hostKernelSeconds: undefined,
    hostMessageSeconds: undefined,
    kernels: rates,
  };
}

const asEstimate = (rate: ProductRate, note: string): ProductRate => ({
  flopsPerSecond: estimate(rate.flopsPerSecond.value, note),
  efficiency: estimate(rate.efficiency.value, note),
  halfM: estimate(rate.halfM.value, note),
  halfN: estimate(rate.halfN.value, note),
  halfK: estimate(rate.halfK.value, note),
});

/** Rate and half-extents whose times are nearest to those of products, in the mean of logarithms' squares: each of the four in turn. */
function productRate(seen: readonly Observed[], least: number): ProductRate {
  const all = seen.map(({ work, seconds }) => ({ work, seconds: median(seconds) }));
  const values = { rate: 10e9, m: 16, n: 16, k: 16 };
  const made = ({ rate, m, n, k }: typeof values): ProductRate => ({
    flopsPerSecond: measured(rate),
    efficiency: measured(1),
    halfM: measured(m),
    halfN: measured(n),
    halfK: measured(k),
  });
  const error = (tried: typeof values): number => {
    const rate = made(tried);
    const device = {
      products: { f32: rate, f16: rate },
      bytesPerSecond: { value: 1e15 },
      launchSeconds: { value: least },
      kernels: {},
    };
    return all.reduce(
      (sum, { work, seconds }) => sum + Math.log(kernelSeconds(work, device as DeviceProfile) / seconds) ** 2,
      0,
    );
  };
  for (let step = 2; step > 1.001; step = 1 + (step - 1) * 0.8)
    for (const name of ["rate", "m", "n", "k"] as const)
      for (const factor of [step, 1 / step]) {
        const tried = { ...values, [name]: values[name] * factor };
        while (error(tried) < error(values)) {
          values[name] = tried[name];
          tried[name] *= factor;
        }
      }
  return made(values);
}
