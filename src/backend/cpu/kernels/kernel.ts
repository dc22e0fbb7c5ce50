// What a kernel of the cpu backend is: a function of its arguments and of views of the buffers they name.

import type { DeviceBuffer } from "../../buffer.ts";
import type { KernelArgs, KernelName } from "../../kernels.ts";

/** The elements of a buffer, valid until the next allocation.
 *  @throws RangeError when the buffer was freed or is another backend's */
export interface Views {
  f32(buffer: DeviceBuffer): Float32Array;
  i32(buffer: DeviceBuffer): Int32Array;
}

export type Kernel<K extends KernelName> = (args: KernelArgs[K], views: Views) => void;
export type Kernels = { readonly [K in KernelName]: Kernel<K> };
