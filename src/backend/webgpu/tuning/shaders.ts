// The shaders that only tuning takes: pages that do not tune do not load them.

import matmulMatrix from "../../../../shaders/matmulMatrix.wgsl";
import splitProduct from "../../../../shaders/splitProduct.wgsl";
import splitSum from "../../../../shaders/splitSum.wgsl";

export const tuningShaders: Readonly<Record<string, string>> = { matmulMatrix, splitProduct, splitSum };
