// Elementwise sums and strided copies.

import type { DeviceBuffer } from "../../buffer.ts";
import type { Kernel } from "./kernel.ts";

export const add: Kernel<"add"> = ({ n, ...buffers }, views) => {
  const a = views.f32(buffers.a);
  const b = views.f32(buffers.b);
  const y = views.f32(buffers.y);
  for (let i = 0; i < n; i++) y[i] = a[i] + b[i];
};

export const axpy: Kernel<"axpy"> = ({ n, alpha, ...buffers }, views) => {
  const x = views.f32(buffers.x);
  const y = views.f32(buffers.y);
  for (let i = 0; i < n; i++) y[i] += alpha * x[i];
};

export const maximum: Kernel<"maximum"> = ({ n, ...buffers }, views) => {
  const x = views.f32(buffers.x);
  const y = views.f32(buffers.y);
  for (let i = 0; i < n; i++) y[i] = Math.max(x[i], y[i]);
};

export const scale: Kernel<"scale"> = ({ n, alpha, ...buffers }, views) => {
  const x = views.f32(buffers.x);
  const y = views.f32(buffers.y);
  for (let i = 0; i < n; i++) y[i] = alpha * x[i];
};

export const fill: Kernel<"fill"> = ({ n, value, ...buffers }, views) => {
  views.f32(buffers.y).fill(value, 0, n);
};

export const copy: Kernel<"copy"> = ({ shape, xStrides, yStrides, xOffset, yOffset, ...buffers }, views) => {
  const elements = (buffer: DeviceBuffer) => (buffer.dtype === "f32" ? views.f32(buffer) : views.i32(buffer));
  const x = elements(buffers.x);
  const y = elements(buffers.y);
  const inner = shape[3];
  const xStep = xStrides[3];
  const yStep = yStrides[3];
  for (let i = 0; i < shape[0]; i++) {
    for (let j = 0; j < shape[1]; j++) {
      for (let k = 0; k < shape[2]; k++) {
        let from = xOffset + i * xStrides[0] + j * xStrides[1] + k * xStrides[2];
        let to = yOffset + i * yStrides[0] + j * yStrides[1] + k * yStrides[2];
        for (let l = 0; l < inner; l++) {
          y[to] = x[from];
          from += xStep;
          to += yStep;
        }
      }
    }
  }
};
