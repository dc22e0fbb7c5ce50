// How long messages take between two ranks: a tensor there and back.

import { ProcessGroup } from "../comm/process-group.ts";
import { constant, type Tensor } from "../tensor/tensor.ts";
import type { RankContext } from "./rank.ts";

export interface RoundTrips {
  /** f32 elements of each message */
  words: readonly number[];
  rounds: number;
}

/** Of two ranks: the seconds of each round trip, by size; rank 1 has none to tell. */
export async function roundTripsRank(
  { link, backend }: RankContext,
  { words, rounds }: RoundTrips,
): Promise<number[][]> {
  const group = new ProcessGroup({ name: "round trips", ranks: [0, 1], link });
  const other = 1 - group.index;
  const purpose = "round trip";
  const took: number[][] = [];
  for (const length of words) {
    using x = constant(backend, { shape: [length], purpose: "scratch" });
    const each: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const started = performance.now();
      if (group.index === 0) group.send(x, { to: other, tag: `${length} ${round} there`, purpose });
      const way = group.index === 0 ? "back" : "there";
      using came: Tensor = await group.receive({
        from: other,
        tag: `${length} ${round} ${way}`,
        shape: [length],
        purpose,
      });
      if (group.index === 1) group.send(came, { to: other, tag: `${length} ${round} back`, purpose });
      // What came is on the device when it can be read.
      else await came.backend.read(came.buffer, 1);
      each.push((performance.now() - started) / 1e3);
    }
    if (group.index === 0) took.push(each);
  }
  return took;
}
