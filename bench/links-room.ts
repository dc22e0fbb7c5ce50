// Ranks as a room's are: each in the thread that holds its WebRTC channels. Both are in this thread and share its device.

import { programOf, type Run } from "../src/cluster/ranks.ts";
import type { Backend } from "../src/index.ts";
import { runRemote } from "../test/parallel/remote-ranks.ts";
import { connectAll } from "../test/unit/webrtc-ranks.ts";

/** Whatever runs a program on ranks. */
export interface Runner {
  run(program: URL, run: Run<unknown>): Promise<unknown[]>;
}

export const roomRanks = (backend: Backend): Runner => ({
  async run(url, { size, options, take }) {
    const program = await programOf(url);
    const channels = await connectAll(size);
    return runRemote({ size, backend, channels }, ({ link, backend: own }) =>
      program({ link, backend: own, tell: async (item) => (await take?.(link.rank, item))! }, options),
    );
  },
});
