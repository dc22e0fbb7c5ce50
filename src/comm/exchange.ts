// One rank's side of one call, as the algorithms of collectives.ts see it.

import type { Shape, Tensor } from "../tensor/tensor.ts";

/** Places are indices in the group. What travels is packed: x itself, or x rounded. */
export interface Exchange {
  readonly size: number;
  readonly index: number;
  /** x as it travels, a handle that the caller disposes. */
  pack(x: Tensor): Tensor;
  /** What travelled as a tensor of that shape. Takes over the handle. */
  unpack(x: Tensor, shape: Shape): Tensor;
  /** a packed tensor */
  send(to: number, options: { part: number; tensor: Tensor | undefined }): void;
  /** a packed tensor; shape: of what it holds */
  receive(from: number, options: { part: number; shape: Shape }): Promise<Tensor>;
  /** packs and sends */
  give(to: number, options: { part: number; tensor: Tensor }): void;
  /** receives and unpacks */
  take(from: number, options: { part: number; shape: Shape }): Promise<Tensor>;
}
