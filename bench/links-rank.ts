// The program of the ranks of `npm run bench -- links`: rank 0 sends tensors that are on its device, rank 1 has them on its own and says so.
// A rank that is alone only has its device read and write.

import type { RankContext } from "../src/cluster/rank.ts";
import { constant, type Tensor } from "../src/tensor/tensor.ts";
import type { Case } from "./links-case.ts";

/** @public loaded by its URL */
export default async function linksRank({ link, backend, tell }: RankContext, options: unknown): Promise<void> {
  const { bytes, count, group, underWay } = options as Case;
  const length = Math.max(1, bytes / 4);
  const data = Float32Array.from({ length }, (_, i) => i % 1013);
  // In turns, as a link that is given one tensor for several ranks reads it once.
  const tensors = [0, 1].map(() => constant(backend, { shape: [length], data, purpose: "activations" }));
  const shapes = bytes > 0 ? [[length]] : [];
  let [messages, answers] = [0, 0];
  const message = () => ({
    call: { group: "messages", which: messages++, members: 2, op: "send", shapes },
    part: 0,
  });
  const answer = () => ({
    call: { group: "answers", which: answers++, members: 2, op: "barrier", shapes: [] },
    part: 0,
  });

  async function send(): Promise<void> {
    for (let sent = 1; sent <= count; sent++) {
      link.send(1, { ...message(), tensor: bytes > 0 ? tensors[sent % 2] : undefined });
      if (sent % group === 0 && sent >= underWay * group) await link.receive(1, answer());
    }
    for (let left = underWay - 1; left > 0; left--) await link.receive(1, answer());
  }

  async function receive(): Promise<Tensor | undefined> {
    let last: Tensor | undefined;
    for (let received = 1; received <= count; received++) {
      last?.dispose();
      last = await link.receive(0, message());
      if (received % group !== 0) continue;
      if (last) await backend.read(last.buffer, 1); // It is there, and all before it.
      link.send(0, answer());
    }
    return last;
  }

  async function alone(): Promise<void> {
    for (let i = 0; i < count; i++) backend.write(tensors[1].buffer, await backend.read(tensors[0].buffer));
    await backend.read(tensors[1].buffer, 1);
  }

  let checked = false;
  let ms = 0;
  while ((await tell(ms)).goOn) {
    const started = performance.now();
    if (link.size === 1) await alone();
    else if (link.rank === 0) await send();
    else {
      using last = await receive();
      const got = last && !checked && (await backend.read(last.buffer));
      if (got && !data.every((value, i) => value === got[i]))
        throw new Error(`a tensor of ${bytes} bytes came as another than was sent`);
      checked = true;
    }
    ms = performance.now() - started;
  }
  for (const tensor of tensors) tensor.dispose();
}
