// Comparisons of what a kernel wrote with what it should have: within a derived bound, or bit for bit.

import type { HostArray } from "../../src/backend/buffer.ts";
import type { Expected } from "./bounds.ts";

const bits = (x: HostArray): Int32Array => new Int32Array(x.buffer, x.byteOffset, x.length);

/** The first index at which two arrays differ in a bit, or -1. */
export function firstDifference(a: HostArray, b: HostArray): number {
  if (a.length !== b.length) return Math.min(a.length, b.length);
  const p = bits(a);
  const q = bits(b);
  for (let i = 0; i < p.length; i++) if (p[i] !== q[i]) return i;
  return -1;
}

/** Every element within its bound; NaN only where NaN is expected, an infinity only where that infinity is.
 *  @returns the largest error as a fraction of its bound
 *  @throws Error naming the element that is furthest out */
export function assertWithin(actual: Float32Array, { values, bounds }: Expected, what: string): number {
  if (actual.length !== values.length) throw new Error(`${what}: ${actual.length} elements, not ${values.length}`);
  let worst = 0;
  let at = -1;
  let failures = 0;
  for (let i = 0; i < actual.length; i++) {
    const fraction = errorFraction(actual[i], values[i], bounds[i]);
    if (!(fraction <= 1)) failures++;
    if (at < 0 || !(fraction <= worst)) {
      worst = fraction;
      at = i;
    }
    if (Number.isNaN(worst)) break;
  }
  if (failures > 0) {
    const error = Math.abs(actual[at] - values[at]);
    throw new Error(
      `${what}: element ${at} is ${actual[at]}, not ${values[at]} (error ${error.toExponential(2)}, bound ${bounds[at].toExponential(2)}; ` +
        `${failures} or more of ${actual.length} are out)`,
    );
  }
  return worst;
}

function errorFraction(actual: number, value: number, bound: number): number {
  if (Number.isFinite(value)) {
    const error = Math.abs(actual - value);
    return error === 0 ? 0 : error / bound;
  }
  return Object.is(actual, value) ? 0 : Number.NaN;
}

/** The same bits everywhere.
 *  @throws Error naming the first element that differs */
export function assertSame(actual: HostArray, wanted: HostArray, what: string): void {
  const at = firstDifference(actual, wanted);
  if (at >= 0)
    throw new Error(
      `${what}: element ${at} is ${actual[at]}, not exactly ${wanted[at]} (lengths ${actual.length}, ${wanted.length})`,
    );
}
