// Rates of links, in decimal units as their makers give them.

/** 50 GB/s: 1 GB is 1,000,000,000 bytes. */
export function rate(bytesPerSecond: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(bytesPerSecond) / 3)));
  return `${(bytesPerSecond / 1000 ** power).toLocaleString("en-US", { maximumSignificantDigits: 3 })} ${units[power]}/s`;
}
