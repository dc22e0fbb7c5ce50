// A kernel's call in plain words, for whoever looks at a timeline.

import type { Details } from "./timeline.ts";

/** What each kernel's size is made of, where it is not rows and columns, or a number of elements. */
const extents: Readonly<Record<string, readonly string[]>> = {
  matmul: ["m", "n", "k"],
  attention: ["batch", "heads", "queries", "keys", "headWidth"],
  attentionGrad: ["batch", "heads", "tokens", "headWidth"],
  embedding: ["count", "cols"],
  embeddingGrad: ["count", "cols"],
};

/** "matmul 768x128x128", "norm grad input 96x128", and the numbers and options of its call. */
export function kernelText(kernel: string, args: object): { name: string; details: Details } {
  const values = new Map<string, unknown>(Object.entries(args));
  const names = extents[kernel] ?? (values.has("rows") ? ["rows", "cols"] : ["n"]);
  const shape = values.get("shape");
  const sizes = Array.isArray(shape) ? shape.filter((extent) => extent !== 1) : names.map((name) => values.get(name));
  const size = sizes.filter((extent) => typeof extent === "number").join("x");
  const details: Record<string, string | number> = {};
  for (const [name, value] of values)
    if (typeof value === "number" || typeof value === "string") details[name] = value;
    else if (typeof value === "boolean") details[name] = String(value);
  const words = kernel.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  return { name: size ? `${words} ${size}` : words, details };
}
