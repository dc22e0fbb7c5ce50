// A program of two ranks for workers: rank 0 sends tensors, rank 1 has them on its device and says so now and then.

import type { RankContext } from "../../src/cluster/rank.ts";
import type { RemoteLink } from "../../src/comm/remote.ts";
import { constant } from "../../src/tensor/tensor.ts";

export interface OneWay {
  /** arrays that the rank's thread had allocated after each round */
  fresh: number[];
  /** bytes beside the tensors that it sent */
  overheadBytes: number;
}

/** @public loaded by its URL */
export default async function oneWayRank({ link, backend }: RankContext, options: unknown): Promise<OneWay> {
  const { rounds, messages, words } = options as { rounds: number; messages: number; words: number };
  const of = (which: number, op: string) => ({
    call: { group: op, which, members: 2, op, shapes: op === "send" ? [[words]] : [] },
    part: 0,
  });
  const fresh: number[] = [];
  for (let round = 0; round < rounds; round++) {
    for (let message = round * messages; message < (round + 1) * messages; message++) {
      if (link.rank === 0) {
        using x = constant(backend, {
          shape: [words],
          data: new Float32Array(words).fill(message),
          purpose: "activations",
        });
        link.send(1, { ...of(message, "send"), tensor: x });
        if (message % 4 === 3) await link.receive(1, of(message, "barrier"));
      } else {
        using x = await link.receive(0, of(message, "send"));
        const values = (await x?.read()) ?? [];
        if (values.length !== words || !values.every((value) => value === message))
          throw new Error(`message ${message} came as another than was sent`);
        if (message % 4 === 3) link.send(0, of(message, "barrier"));
      }
    }
    fresh.push((link as RemoteLink).freshArrays);
  }
  return { fresh, overheadBytes: (link as RemoteLink).traffic.overheadBytes };
}
