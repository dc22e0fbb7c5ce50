// How a run stores what it computes with: f16 where it was asked for and the device has it.

import type { Backend } from "../backend/backend.ts";
import type { FloatType } from "../backend/buffer.ts";

/** What a run that asks for `asked` gets on this backend, and a sentence that says why when it is something else. */
export function availableType(
  { name, adapter }: Pick<Backend, "name" | "adapter">,
  asked: FloatType,
): { dtype: FloatType; note?: string } {
  if (asked === "f32" || adapter.features.includes("shader-f16")) return { dtype: asked };
  const why =
    name === "webgpu" ? `${adapter.description} has no shader-f16` : "f16 needs webgpu, this is the cpu backend";
  return { dtype: "f32", note: `f32 in place of f16: ${why}` };
}
