// The shaders that only tuning takes: pages that do not tune do not load them.

import splitProduct from "../../../../shaders/splitProduct.wgsl";
import splitSum from "../../../../shaders/splitSum.wgsl";

export const tuningShaders: Readonly<Record<string, string>> = { splitProduct, splitSum };
