// From a link to channels: members of a real room, over real sockets, open real WebRTC channels by its signals.

import { cleanup } from "node-datachannel";
import { test } from "uvu";
import { equal, is, match, ok } from "uvu/assert";
import { joinRoom } from "../../src/cluster/rendezvous/client.ts";
import { parseLink } from "../../src/cluster/rendezvous/link.ts";
import type { RoomClient, Start } from "../../src/cluster/rendezvous/membership.ts";
import { connectOrRelay } from "../../src/cluster/rendezvous/relays.ts";
import { startRendezvous } from "../../src/cluster/rendezvous/server.ts";
import type { Channel } from "../../src/comm/channel.ts";
import { CommunicationError } from "../../src/comm/link.ts";
import { connectRanks } from "../../src/comm/webrtc.ts";
import { planOf, secret } from "./rendezvous-bench.ts";

const start = (rendezvous: { joinUrl: string }, name: string): Promise<RoomClient> =>
  joinRoom({ ...parseLink(rendezvous.joinUrl), name, adapter: "none", retries: 2, retryMs: 20 });

const connect = ({ rank, size, signalling }: Start) => connectRanks({ rank, size, signalling, timeoutMs: 60_000 });

/** What each rank hears from each other when all send their number; ends the channels. */
async function greet(all: readonly (readonly (Channel | undefined)[])[]): Promise<number[][]> {
  const heard = all.map((channels, rank) =>
    Promise.all(
      channels.map(
        (channel) =>
          new Promise<number>((resolve, reject) => {
            if (!channel) return resolve(rank);
            channel.listen({ message: ([first]) => resolve(first), closed: (reason) => reject(new Error(reason)) });
            channel.send(Uint8Array.of(rank));
          }),
      ),
    ),
  );
  const numbers = await Promise.all(heard);
  for (const channel of all.flat()) channel?.close();
  return numbers;
}

test("three members open channels through the room; they go on without it, and survivors connect anew after a start", async () => {
  const options = { host: "127.0.0.1", secret, port: 0 };
  const rendezvous = await startRendezvous({ ...options, plan: planOf([3]) });
  const members = await Promise.all(["Ada", "Ben", "Cleo"].map((name) => start(rendezvous, name)));
  const starts = await Promise.all(members.map((member) => member.agree()));
  const channels = await Promise.all([...starts].sort((a, b) => a.rank - b.rank).map(connect));
  equal(await greet(channels), [
    [0, 1, 2],
    [0, 1, 2],
    [0, 1, 2],
  ]);

  members[2].leave();
  starts[0].end("a rank left");
  rendezvous.propose(planOf([2]));
  const survivors = members.slice(0, 2);
  for (const member of survivors)
    while (member.plan.dims[0] !== 2) await new Promise((resolve) => setTimeout(resolve, 5));
  const again = await Promise.all(survivors.map((member) => member.agree()));
  const two = await Promise.all([...again].sort((a, b) => a.rank - b.rank).map(connect));
  await rendezvous.close();
  equal(await greet(two), [
    [0, 1],
    [0, 1],
  ]);
  for (const member of members) member.leave();
});

test("a member that is started and says nothing is named by the ranks that wait for it", async () => {
  const rendezvous = await startRendezvous({ host: "127.0.0.1", secret, port: 0, plan: planOf([2]) });
  const members = await Promise.all(["Ada", "mute"].map((name) => start(rendezvous, name)));
  const [ada, mute] = await Promise.all(members.map((member) => member.agree()));
  const { rank, size, signalling } = ada;
  const error = await connectRanks({ rank, size, signalling, timeoutMs: 1500 }).catch((reason: unknown) => reason);
  ok(error instanceof CommunicationError, String(error));
  is(error.rank, mute.rank);
  ada.end(error.message);
  await new Promise((resolve) => mute.over.addEventListener("abort", resolve));
  match(mute.over.reason.message, new RegExp(`the run has ended: rank ${rank}: .*rank ${mute.rank}`));
  for (const member of members) member.leave();
  await rendezvous.close();
});

test("a run that ends while its ranks still look for each other is over at once, with the reason", async () => {
  const rendezvous = await startRendezvous({ host: "127.0.0.1", secret, port: 0, plan: planOf([2]) });
  const members = await Promise.all(["Ada", "failing"].map((name) => start(rendezvous, name)));
  const [ada, failing] = await Promise.all(members.map((member) => member.agree()));
  // An hour: the test would be ended for its length.
  const waiting = connectOrRelay({ start: ada, timeoutMs: 3_600_000, signal: ada.over }).catch(
    (reason: Error) => reason,
  );
  failing.end("its device was lost");
  match(String(await waiting), new RegExp(`the run has ended: rank ${failing.rank}: its device was lost`));
  // From the start over.
  const late = await connectOrRelay({ start: ada, signal: ada.over }).catch((reason: Error) => reason);
  is(late, ada.over.reason);
  for (const member of members) member.leave();
  await rendezvous.close();
});

// Some of the library's threads keep a process alive now and then, with every connection closed.
test.after(() => cleanup());

test.run();
