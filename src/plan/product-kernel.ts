// The WGSL that a product becomes on WebGPU, as text and without a device: for who wants to read what runs. Tuning, which measures, may take
// other kernels on a real device.

import { UserError } from "../backend/errors.ts";
import type { ProductKernel, ProductToRead } from "./kernel-text.ts";

/** The kernel that multiplies on one rank, f32, without tuning; where matrices are packed first, the one behind the packing.
 *  @throws UserError for a size that is no whole number from 1 */
export async function productKernel(product: ProductToRead): Promise<ProductKernel> {
  for (const [name, value] of Object.entries(product.size))
    if (!Number.isSafeInteger(value) || value < 1)
      throw new UserError(`got ${name} = ${value}, need a whole number from 1`);
  // Shaders are heavy: only who reads them loads them.
  const { kernelText } = await import("./kernel-text.ts");
  return kernelText(product);
}
