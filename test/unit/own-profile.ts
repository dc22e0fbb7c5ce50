// A profile that has every field that there is, and others like it.

export type Json = Record<string, unknown>;

export const value = (number: unknown) => ({ value: number, origin: "estimate" });
const rate = () => ({
  ...{ flopsPerSecond: value(3e12), efficiency: value(0.7) },
  ...{ halfM: value(20), halfN: value(30), halfK: value(0) },
});
const level = (more: Json = {}) => ({
  name: "wire",
  latencySeconds: value(1e-5),
  bytesPerSecond: { ...value(7e8), note: "said so" },
  ...more,
});
/** Every field that there is. */
export const whole = (): Json => ({
  ...{ $schema: "./schema.json", name: "mine", description: "two of them", sources: ["a letter"] },
  device: {
    ...{
      memoryBytes: value(5e9),
      flopsPerSecond: value(2e12),
      bytesPerSecond: value(9e10),
      launchSeconds: value(1e-5),
    },
    products: { f32: rate(), f16: rate() },
    kernels: { attention: value(1e12), adamw: value(2e9) },
  },
  network: [
    level({ devices: 3, mediumBytesPerSecond: value(3e7) }),
    level({ devices: 6, uplinkBytesPerSecond: value(2e6), downlinkBytesPerSecond: value(4e6) }),
    level(),
  ],
  overlap: false,
});

/** The profile with another value, or nothing, at a path like device.products.f32. */
export function changed(path: string, to: unknown): Json {
  const json = whole();
  const names = path.split(".");
  const last = names.pop() as string;
  const inside = names.reduce((at, name) => at[name] as Json, json);
  if (to === undefined && Array.isArray(inside)) inside.splice(Number(last), 1);
  else if (to === undefined) delete inside[last];
  else inside[last] = to;
  return json;
}
