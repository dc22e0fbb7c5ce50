// f32 as f16, two in a word, and back.

import { fromF16, toF16 } from "../../f16.ts";
import type { Kernel } from "./kernel.ts";

/** The one NaN that all kernels write. */
const nan = 0x7e00;

export const packHalf: Kernel<"packHalf"> = ({ n, ...buffers }, views) => {
  const x = views.f32(buffers.x).subarray(0, n);
  const { buffer, byteOffset } = views.i32(buffers.y);
  // An odd number has zero above its last.
  const y = new Uint16Array(buffer, byteOffset, n + (n % 2));
  y[y.length - 1] = 0;
  y.set(toF16(x).map((bits) => ((bits & 0x7fff) > 0x7c00 ? nan : bits)));
};

export const unpackHalf: Kernel<"unpackHalf"> = ({ n, ...buffers }, views) => {
  const { buffer, byteOffset } = views.i32(buffers.x);
  views.f32(buffers.y).set(fromF16(new Uint16Array(buffer, byteOffset, n)));
};
