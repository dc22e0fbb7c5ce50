// How finely a pass is cut into chunks, by an estimate of what its items cost.

/** One thread's work in nanoseconds: less is not worth waking another for (2 to 5 microseconds), more may keep the others waiting. */
const least = 10_000;
const most = 50_000;

/** items and grain of a pass whose items take `nanoseconds` each. */
export function chunks(items: number, nanoseconds: number): { items: number; grain: number } {
  const whole = items * nanoseconds;
  // Under 2 `least`, one chunk; then as many of `least` as there are, up to eight: enough to level threads of unequal speed.
  const count = Math.max(Math.min(Math.floor(whole / least), 8), Math.ceil(whole / most), 1);
  return { items, grain: Math.ceil(items / count) };
}

/** The same for a pass over vectors of four of n elements. */
export const vectors = (n: number, nanoseconds: number): { items: number; grain: number } =>
  chunks(Math.ceil(n / 4), nanoseconds);
