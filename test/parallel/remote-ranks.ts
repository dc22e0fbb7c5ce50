// Ranks of one process that talk over real message channels, as ranks in workers do: a link of its own for each, a share of the device
// under test, and channels that a test can put faults into.

import type { Backend } from "../../src/backend/backend.ts";
import { SharedBackend } from "../../src/backend/share.ts";
import type { Channel } from "../../src/comm/channel.ts";
import { MessagePortChannel } from "../../src/comm/message-port.ts";
import { RemoteLink } from "../../src/comm/remote.ts";

/** channels[rank][other]: both ends of a message channel for each pair of ranks. */
export function messageChannels(size: number): (Channel | undefined)[][] {
  const channels = Array.from({ length: size }, () => new Array<Channel | undefined>(size).fill(undefined));
  for (let a = 0; a < size; a++)
    for (let b = 0; b < a; b++) {
      const { port1, port2 } = new MessageChannel();
      channels[a][b] = new MessagePortChannel(port1);
      channels[b][a] = new MessagePortChannel(port2);
    }
  return channels;
}

export interface RemoteRank {
  link: RemoteLink;
  backend: SharedBackend;
}

export interface RemoteRun {
  size: number;
  backend: Backend;
  timeoutMs?: number;
  maxHeldBytes?: number;
  channels?: readonly (readonly (Channel | undefined)[])[];
}

/** How each rank's program ended, as a worker's would: it says that it is over, or why it failed, then closes its channels. What a failed
 *  rank still held is freed. */
export async function settleRemote<T>(
  { size, backend, channels = messageChannels(size), ...limits }: RemoteRun,
  program: (rank: RemoteRank) => Promise<T>,
): Promise<PromiseSettledResult<T>[]> {
  const shares = SharedBackend.divide(backend, size);
  return Promise.allSettled(
    shares.map(async (share, rank) => {
      const link = new RemoteLink({ rank, channels: channels[rank], backend: share, ...limits });
      try {
        const result = await program({ link, backend: share });
        await link.end();
        return result;
      } catch (error) {
        link.fail(error);
        share.dispose();
        throw error;
      } finally {
        link.close();
      }
    }),
  );
}

/** The results in the order of ranks. @throws Error the first rank's that failed */
export async function runRemote<T>(run: RemoteRun, program: (rank: RemoteRank) => Promise<T>): Promise<T[]> {
  const settled = await settleRemote(run, program);
  return settled.map((each) => {
    if (each.status === "rejected") throw each.reason;
    return each.value;
  });
}

/** Ports and timers that keep the process alive, beside those of the device. */
export const openHandles = (): string[] =>
  process.getActiveResourcesInfo().filter((name) => name === "MessagePort" || name === "Timeout");

/** Those beyond `before` that stay: ports take some turns to close. */
export async function handlesLeft(before: readonly string[]): Promise<string[]> {
  for (let turns = 0; turns < 200 && openHandles().length > before.length; turns++)
    await new Promise((resolve) => setTimeout(resolve, 5));
  return openHandles().slice(before.length);
}
