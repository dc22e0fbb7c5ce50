// f32 on the wire as f16: half the bytes, each value off by at most 2^-11 of itself (2^-25 below 2^-14), infinite from 65520 on. Packed on
// the device and sent as whole numbers, two f16 in each, so that links know nothing of it. Which calls send so is process-group.ts's.

import { type Shape, Storage, sizeOf, Tensor } from "../tensor/tensor.ts";
import type { Payload } from "./link.ts";

/** n elements of f32 as they travel. */
export const packedPayload = (n: number): Payload => ({ shape: [Math.ceil(n / 2)], dtype: "i32" });

/** x [n] of f32 as it travels: [n/2] of i32, rounded up. The caller disposes it. */
export function packed(x: Tensor): Tensor {
  const { backend, size } = x;
  const y = allocated(x, packedPayload(size));
  backend.run("packHalf", { x: x.buffer, y: y.buffer, n: size });
  return y;
}

/** The f32 of what travelled, in new memory: the same on every rank that unpacks the same. Takes over the handle. */
export function unpacked(x: Tensor, shape: Shape): Tensor {
  const y = allocated(x, { shape, dtype: "f32" });
  x.backend.run("unpackHalf", { x: x.buffer, y: y.buffer, n: sizeOf(shape) });
  x.dispose();
  return y;
}

const allocated = ({ backend }: Tensor, spec: Payload): Tensor =>
  new Tensor(Storage.allocate(backend, { ...spec, purpose: "scratch" }), { shape: spec.shape });
