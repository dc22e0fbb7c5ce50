// How fast a device multiplies: one real product, as often as a fifth of a second takes. Long enough for its clock and its caches, short
// enough to be waited for.

import { type Backend, constant, matmul, Tape } from "shardgrad";

const enoughMs = 200;
const extent = 512;

/** @returns floating-point operations a second */
export async function productSpeed(backend: Backend): Promise<number> {
  const shape = [extent, extent];
  const data = Float32Array.from({ length: extent * extent }, (_, index) => ((index * 7919) % 1000) / 1000 - 0.5);
  const [x, w] = ["x", "w"].map((name) => constant(backend, { shape, data, purpose: "activations", name }));
  /** Products one after the other, of which the last is read: the device is done then. */
  const timed = async (products: number): Promise<number> => {
    const beganMs = performance.now();
    for (let i = 0; i < products; i++) {
      using tape = new Tape(backend, { recording: false });
      const y = matmul(tape.view(x), w, { form: "nn" });
      if (i === products - 1) await y.read();
    }
    return performance.now() - beganMs;
  };
  try {
    await timed(1);
    for (let products = 2; ; products *= 2) {
      const tookMs = await timed(products);
      if (tookMs >= enoughMs) return (2 * extent ** 3 * products) / (tookMs / 1000);
    }
  } finally {
    x.dispose();
    w.dispose();
  }
}
