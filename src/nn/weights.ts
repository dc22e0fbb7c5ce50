// How this library's parameters stand in Hugging Face's files. Inside, every linear is [in, out], q, k and v are fused
// head group by head group, gate and up alternate: so that any block of columns is whole heads, or whole pairs.

import { UserError } from "../backend/errors.ts";
import type { Whole } from "../parallel/layout.ts";

/** A tensor in a checkpoint. `transposed`: [out, in], as torch.nn.Linear keeps it. */
export interface CheckpointTensor {
  name: string;
  shape: readonly number[];
  transposed: boolean;
}

/** A parameter, and the tensors of a checkpoint that it is made of. `column(c)` says where column c comes from. */
export interface WeightSpec extends Whole {
  /** standard deviation of the normal it starts from; or the constant it starts as */
  start: { std: number } | { constant: number };
  parts: readonly CheckpointTensor[];
  column: (c: number) => { part: number; column: number };
}

/** A parameter that stands in a checkpoint under its own name and shape. */
export function plainWeight(spec: Omit<WeightSpec, "parts" | "column"> & { transposed?: boolean }): WeightSpec {
  const { transposed = false, ...rest } = spec;
  const shape = transposed ? [...spec.shape].reverse() : spec.shape;
  return { ...rest, parts: [{ name: spec.name, shape, transposed }], column: (column) => ({ part: 0, column }) };
}

type Tensors = ReadonlyMap<string, { shape: readonly number[]; data: ArrayLike<number> }>;

/** Index of element (row, column) in a checkpoint tensor. */
const place = (part: CheckpointTensor, row: number, column: number): number =>
  part.transposed ? column * part.shape[1] + row : row * (part.shape[part.shape.length - 1] ?? 1) + column;

/** The whole parameter, row-major, from a checkpoint's tensors.
 *  @throws UserError when one is missing or has another shape */
export function importWeight(spec: WeightSpec, tensors: Tensors): Float32Array {
  const sources = spec.parts.map((part) => {
    const tensor = tensors.get(part.name);
    if (!tensor)
      throw new UserError(
        `the checkpoint has no tensor ${part.name}, which this config needs; check that config and weights belong together`,
      );
    if (tensor.shape.join() !== part.shape.join())
      throw new UserError(
        `tensor ${part.name} is [${tensor.shape.join(", ")}] in the checkpoint, the config needs [${part.shape.join(", ")}]; check that config and weights belong together`,
      );
    return tensor.data;
  });
  const cols = spec.shape[spec.shape.length - 1];
  const rows = spec.shape.length === 1 ? 1 : spec.shape[0];
  const whole = new Float32Array(rows * cols);
  for (let c = 0; c < cols; c++) {
    const { part, column } = spec.column(c);
    for (let r = 0; r < rows; r++) whole[r * cols + c] = sources[part][place(spec.parts[part], r, column)];
  }
  return whole;
}

/** The checkpoint's tensors from a whole parameter: importWeight's inverse. */
export function exportWeight(
  spec: WeightSpec,
  whole: Float32Array,
): Map<string, { shape: readonly number[]; data: Float32Array }> {
  const targets = spec.parts.map((part) => new Float32Array(part.shape.reduce((a, b) => a * b, 1)));
  const cols = spec.shape[spec.shape.length - 1];
  const rows = spec.shape.length === 1 ? 1 : spec.shape[0];
  for (let c = 0; c < cols; c++) {
    const { part, column } = spec.column(c);
    for (let r = 0; r < rows; r++) targets[part][place(spec.parts[part], r, column)] = whole[r * cols + c];
  }
  return new Map(spec.parts.map((part, index) => [part.name, { shape: part.shape, data: targets[index] }]));
}
