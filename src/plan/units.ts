// Amounts as a person reads them.

/** 12 B, 3.4 KiB, 120 GiB */
export function bytesText(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const unit = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(bytes, 1)) / 10)));
  const value = bytes / 2 ** (10 * unit);
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** As GiB, for a column that says so: 0.0123, 12.3, 123. */
export function gibNumber(bytes: number): string {
  const gib = bytes / 2 ** 30;
  return gib >= 100 ? String(Math.round(gib)) : gib.toPrecision(3);
}

/** What a machine takes for a step: 1.234 s, 4.56 ms, 7.89 us. */
export function secondsText(seconds: number, { digits = seconds >= 1 ? 4 : 3 }: { digits?: number } = {}): string {
  const text = (value: number) =>
    value.toLocaleString("en-US", { minimumSignificantDigits: digits, maximumSignificantDigits: digits });
  if (seconds >= 1) return `${text(seconds)} s`;
  return seconds >= 1e-3 ? `${text(1e3 * seconds)} ms` : `${text(1e6 * seconds)} us`;
}

/** 45.6% */
export const percentText = (share: number): string => `${(100 * share).toFixed(1)}%`;
