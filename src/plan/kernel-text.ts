// A product's plan and shader as the WebGPU backend takes them. Loaded by product-kernel.ts when it is asked.

import type { AdapterInfo } from "../backend/backend.ts";
import type { DeviceBuffer } from "../backend/buffer.ts";
// Not called here: a part of the backend alone would be cut off from the rest by the bundler, and who trains would load one file more.
import "../backend/webgpu/backend.ts";
import { deviceFacts } from "../backend/webgpu/device.ts";
import type { DeviceFacts, Dispatch } from "../backend/webgpu/plan.ts";
import { matmulPlans } from "../backend/webgpu/plans/matmul.ts";
import { shaders } from "../backend/webgpu/shaders.ts";
import { softwareShaders } from "../backend/webgpu/software-shaders.ts";
import { specialise } from "../backend/webgpu/specialise.ts";
import type { Form } from "../parallel/operands.ts";

export interface ProductToRead {
  readonly form: Form;
  /** of one rank's product: [m, k] times [k, n], as `WatchedRank.products` has them */
  readonly size: { readonly m: number; readonly n: number; readonly k: number };
  /** of a backend of WebGPU; left out, a GPU that gives what WebGPU asks of every one and no more */
  readonly adapter?: AdapterInfo;
}

export interface ProductKernel {
  /** the file's name in shaders/, without .wgsl */
  readonly shader: string;
  /** as it is compiled: its named constants set, repeated lines repeated */
  readonly code: string;
  /** elements of the result that a workgroup computes */
  readonly tile: { readonly rows: number; readonly columns: number };
  readonly workgroups: number;
}

/** What WebGPU asks of every GPU. */
const anyGpu: DeviceFacts = {
  ...{ software: false, vendor: "", architecture: "", maxInvocations: 256 },
  ...{ subgroupSize: 0, subgroupMaxSize: 0, subgroupMatrices: [] },
};

export function kernelText({ form, size, adapter }: ProductToRead): ProductKernel {
  const memory: DeviceBuffer = { id: 0, dtype: "f32", length: 0, purpose: "scratch" };
  const transposes = { transposeA: form === "ATB", transposeB: form === "ABT" };
  const dispatches = matmulPlans.matmul(
    { a: memory, b: memory, y: memory, batch: 1, ...size, ...transposes, accumulate: false },
    { ...(adapter ? deviceFacts(adapter) : anyGpu), scratch: () => memory },
  );
  const dispatch = dispatches[dispatches.length - 1];
  const { shader, constants = {}, workgroups } = dispatch;
  return {
    ...{ shader, code: specialise({ ...shaders, ...softwareShaders }[shader], constants) },
    ...{ tile: tileOf(dispatch), workgroups: workgroups.reduce((all, each) => all * each) },
  };
}

/** Of the shaders that the plan of products takes: those of fixed tiles say them here, others in their constants. */
function tileOf({ shader, constants = {} }: Dispatch): ProductKernel["tile"] {
  if (shader === "matmulTile") return { rows: 64, columns: 64 };
  if (shader === "matmul") return { rows: 32, columns: 32 };
  const { LINES, STRIPS, LANES, GROUPS } = constants as Record<string, number>;
  return { rows: LINES * STRIPS, columns: 4 * LANES * GROUPS };
}
