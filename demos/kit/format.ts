// Numbers as people read them, with their units.

export const count = (value: number): string => Math.round(value).toLocaleString("en-US");

const scaled = (value: number, { base, units }: { base: number; units: readonly string[] }): string => {
  const power = value < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log(value) / Math.log(base)));
  const shown = value / base ** power;
  return `${shown.toLocaleString("en-US", { maximumSignificantDigits: shown >= 1000 ? 4 : 3 })} ${units[power]}`;
};

/** Binary units: 1 KiB is 1,024 bytes. */
export const bytes = (value: number): string =>
  scaled(value, { base: 1024, units: ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] });

/** Of what is computed a second, or in all: 12.3 GFLOP. */
export const flops = (value: number): string =>
  scaled(value, { base: 1000, units: ["FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP", "EFLOP"] });

export const seconds = (value: number): string => {
  if (value === 0) return "0 s";
  if (value < 1e-3) return `${(value * 1e6).toLocaleString("en-US", { maximumSignificantDigits: 3 })} µs`;
  if (value < 1) return `${(value * 1e3).toLocaleString("en-US", { maximumSignificantDigits: 3 })} ms`;
  if (value < 120) return `${value.toLocaleString("en-US", { maximumSignificantDigits: 3 })} s`;
  const minutes = Math.round(value / 60);
  return minutes < 120
    ? `${minutes} min`
    : `${(value / 3600).toLocaleString("en-US", { maximumSignificantDigits: 3 })} h`;
};

export const percent = (share: number): string =>
  `${(100 * share).toLocaleString("en-US", { maximumFractionDigits: share < 0.1 ? 1 : 0 })}%`;

/** Of links, in decimal units as their makers give them: 1 GB/s is 1,000,000,000 bytes a second. */
export function rate(bytesPerSecond: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(bytesPerSecond) / 3)));
  return `${(bytesPerSecond / 1000 ** power).toLocaleString("en-US", { maximumSignificantDigits: 3 })} ${units[power]}/s`;
}
