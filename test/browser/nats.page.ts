// What nats.test.ts runs inside its page: a member of a room on NATS.

import { joinRoom } from "../../src/cluster/rendezvous/client.ts";
import { RelayChannel } from "../../src/comm/relay-channel.ts";
import { content, inbox, same } from "../unit/webrtc-messages.ts";

interface Place {
  url: string;
  secret: string;
}

export async function takePart(place: Place) {
  const room = await joinRoom({ ...place, name: "a page", adapter: "" });
  const { rank, members, signalling, wire, objects } = await room.agree();
  const text = await (await objects!()).get("text", { mostBytes: 300_000 });
  const answer = new Promise((resolve) => signalling.listen((_, data) => resolve(data)));
  signalling.send(0, "from the page");
  const channel = new RelayChannel(wire!(0), { timeoutMs: 30_000, silentMs: 15_000 });
  await channel.opened;
  const box = inbox(channel);
  channel.send(content(1_000_003, 2));
  await box.count(1);
  const exact = same(box.messages[0], content(1_000_003, 1)) && same(text, content(300_000, 3));
  const told = { rank, members: members.map(({ name }) => name), answer: await answer, exact };
  await channel.flush();
  channel.close();
  room.leave();
  return told;
}

export const refusalOf = (place: Place): Promise<string> =>
  joinRoom({ ...place, name: "a page", adapter: "" }).then(
    () => "let in",
    (error: Error) => error.message,
  );
