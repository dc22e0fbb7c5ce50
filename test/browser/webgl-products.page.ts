// What webgl-products.test.ts runs inside its page: the choice of who multiplies, and products on a backend that made it.

import type { Backend } from "../../src/backend/backend.ts";
import { createCpuBackend } from "../../src/backend/cpu/backend.ts";
import type { Kernel } from "../../src/backend/cpu/kernels/kernel.ts";
import { matmul } from "../../src/backend/cpu/kernels/product.ts";
import { webglProducts } from "../../src/backend/cpu/webgl-products.ts";

/** The plain loops, and a second's rest after each product: slower than WebGL2 even where software draws. */
const patient: Kernel<"matmul"> = (args, views) => {
  const until = performance.now() + 1000;
  matmul(args, views);
  while (performance.now() < until);
};

const operand = (length: number, seed: number): Float32Array =>
  Float32Array.from({ length }, (_, i) => Math.sin(seed + i * 1.7) * 2);

interface Case {
  batch: number;
  m: number;
  n: number;
  k: number;
  layout: "NN" | "NT" | "TN";
  accumulate: boolean;
  bias: boolean;
}

const cases: Case[] = [
  { batch: 1, m: 131, n: 129, k: 157, layout: "NN", accumulate: false, bias: true },
  { batch: 2, m: 133, n: 130, k: 151, layout: "NT", accumulate: true, bias: false },
  { batch: 1, m: 141, n: 135, k: 129, layout: "TN", accumulate: true, bias: true },
];

async function product(backend: Backend, { batch, m, n, k, layout, accumulate, bias }: Case): Promise<Float32Array> {
  const upload = (data: Float32Array) => {
    const buffer = backend.allocate({ dtype: "f32", length: data.length, purpose: "scratch" });
    backend.write(buffer, data);
    return buffer;
  };
  const a = upload(operand(batch * m * k, 1));
  const b = upload(operand(batch * k * n, 2));
  const y = upload(operand(batch * m * n, 3));
  backend.run("matmul", {
    ...{ a, b, y, bias: bias ? upload(operand(n, 4)) : undefined, batch, m, n, k, accumulate },
    ...{ transposeA: layout === "TN", transposeB: layout === "NT" },
  });
  return (await backend.read(y)) as Float32Array;
}

/** The choice against the plain loops, and against a rival that loses.
 *  @public called by name from the test */
export async function choices() {
  const started = performance.now();
  const honest = await webglProducts();
  const honestMs = performance.now() - started;
  const winning = await webglProducts({ rival: patient });
  return {
    honestMs,
    honest: { used: honest.matmul !== undefined, description: honest.description },
    winning: { used: winning.matmul !== undefined, description: winning.description },
  };
}

/** Largest difference between products in WebGL2 and by the loops, and its bound.
 *  @public called by name from the test */
export async function agreement() {
  const products = await webglProducts({ rival: patient });
  let calls = 0;
  const counted: Kernel<"matmul"> = (args, views) => {
    calls++;
    products.matmul!(args, views);
  };
  const accelerated = createCpuBackend({ products: { ...products, matmul: counted } });
  const plain = createCpuBackend();
  const errors: { name: string; error: number; bound: number; bitwiseEqual: boolean }[] = [];
  for (const one of cases) {
    const [got, expected] = [await product(accelerated, one), await product(plain, one)];
    let error = 0;
    for (let i = 0; i < got.length; i++) error = Math.max(error, Math.abs(got[i] - expected[i]));
    // |a|, |b|, |y| and |bias| are at most 2: each sum of |a||b| is at most 4 k.
    const bound = 2 * (one.k + 4) * 2 ** -24 * (4 * one.k + 4);
    const bitwiseEqual = got.every((value, i) => value === expected[i]);
    errors.push({ name: `${one.layout} ${one.m}x${one.n}x${one.k}`, error, bound, bitwiseEqual });
  }
  return { calls, errors, adapter: accelerated.adapter.description };
}
