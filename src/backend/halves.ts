// Which buffers of a kernel may be f16. It is a way to store: every kernel computes in f32, and keeps in f32 what it sums into (gradients
// of parameters, statistics, losses) and what has a number a row or a column, where f16 would save nothing.

import type { DeviceBuffer } from "./buffer.ts";
import type { KernelArgs, KernelName } from "./kernels.ts";

type Groups = { readonly [K in KernelName]?: readonly (readonly (keyof KernelArgs[K] & string)[])[] };

/** Buffers of a group have one type. Later groups may be f32 where the first is f16, for what is summed into them; scale is how one type
 *  becomes the other. */
const groups: Groups = {
  matmul: [["a", "b"], ["y"]],
  attention: [["q", "kv", "y"]],
  attentionGrad: [["qkv", "y", "dy", "dqkv"]],
  rotary: [["x", "y"]],
  normStats: [["x"]],
  normApply: [["x", "y"]],
  normGradSums: [["x", "dy"]],
  normGradInput: [["x", "dy", "dx"]],
  normGradGain: [["x", "dy"]],
  gelu: [["x", "y"]],
  geluGrad: [["x", "dy", "dx"]],
  siluGate: [["x", "y"]],
  siluGateGrad: [["x", "dy", "dx"]],
  dropout: [["x", "y"]],
  embedding: [["table", "y"]],
  embeddingGrad: [["dy"]],
  rowMax: [["x"]],
  sumExp: [["x"]],
  crossEntropyGrad: [["x", "dx"]],
  columnSum: [["x"]],
  add: [["a", "b", "y"]],
  axpy: [["x"], ["y"]],
  scale: [["x"], ["y"]],
  fill: [["y"]],
};

const groupsOf = (kernel: KernelName): readonly (readonly string[])[] | undefined => groups[kernel];

/** Whether the kernel takes f16 in this buffer at all. */
export const mayBeHalf = (kernel: KernelName, name: string): boolean =>
  groupsOf(kernel)?.some((group) => group.includes(name)) ?? false;

/** @throws RangeError naming two buffers whose types do not go together */
export function checkTypes<K extends KernelName>(kernel: K, args: KernelArgs[K]): void {
  const known = groupsOf(kernel);
  if (!known) return;
  const buffers = args as unknown as Record<string, DeviceBuffer>;
  for (const group of known) {
    const [first] = group;
    const { dtype } = buffers[first];
    for (const name of group)
      if (buffers[name].dtype !== dtype)
        throw new RangeError(
          `${kernel}: ${name} holds ${buffers[name].dtype} and ${first} ${dtype}, needs one type for both`,
        );
    const from = known[0][0];
    if (dtype === "f16" && buffers[from].dtype !== "f16" && kernel !== "scale")
      throw new RangeError(`${kernel}: ${first} holds f16 and ${from} ${buffers[from].dtype}, needs f32 in ${first}`);
  }
}
