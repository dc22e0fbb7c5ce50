// Pipes over WebRTC for ranks in workers: workers have no WebRTC, neither in pages nor in Node, so the thread that starts them holds the
// connections, and each rank has a port to its own.

import { bridge } from "../comm/bridge.ts";
import type { Channel } from "../comm/channel.ts";
import type { IceOptions } from "../comm/ice.ts";
import { MessagePortChannel } from "../comm/message-port.ts";
import { spare } from "../comm/spare.ts";
import { connectRanks, type Signalling } from "../comm/webrtc.ts";

export interface WebRtcPipes {
  /** [rank][other]: the end that goes to the rank's worker */
  pipes: (MessagePort | undefined)[][];
  close(): void;
}

/** Connects every two of `size` ranks of this process or page.
 *  @throws CommunicationError when two cannot be connected */
export async function webrtcPipes(options: IceOptions & { size: number; timeoutMs?: number }): Promise<WebRtcPipes> {
  const { size, ...rest } = options;
  const office = new SortingOffice(size);
  const connecting = Array.from({ length: size }, (_, rank) =>
    connectRanks({ rank, size, signalling: office.desk(rank), ...rest }),
  );
  const connected = await Promise.allSettled(connecting);
  const channels = connected.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  const close = () => {
    for (const channel of channels.flat()) channel?.close();
    spare.clear();
  };
  const failed = connected.find((each) => each.status === "rejected");
  if (failed) {
    close();
    throw failed.reason;
  }
  const pipes = channels.map((own) => own.map((channel) => channel && portTo(channel)));
  return { pipes, close };
}

/** A port to a channel, for a worker: a MessagePortChannel there is as the channel itself here. */
export function portTo(channel: Channel): MessagePort {
  const { port1, port2 } = new MessageChannel();
  bridge(channel, new MessagePortChannel(port1));
  return port2;
}

/** Signals between ranks of one process. */
class SortingOffice {
  readonly #desks: (((from: number, data: unknown) => void) | undefined)[];

  constructor(size: number) {
    this.#desks = new Array(size).fill(undefined);
  }

  desk(rank: number): Signalling {
    return {
      send: (to, data) => queueMicrotask(() => this.#desks[to]?.(rank, data)),
      listen: (take) => {
        this.#desks[rank] = take;
      },
    };
  }
}
