// A worker that is a rank: opens a device of its own, joins the others and runs a program. A worker of a page or a worker thread of Node;
// bundled into a text of its own, which has no imports to resolve.

import { expose, type ProxyMarked } from "comlink";
import nodeEndpoint from "comlink/dist/esm/node-adapter.mjs";
import { loadDawnFrom } from "../backend/dawn.ts";
import { inNode } from "../backend/node.ts";
import { type BackendChoice, createBackend } from "../backend/select.ts";
import type { Channel } from "../comm/channel.ts";
import { CommunicationError } from "../comm/link.ts";
import { MessagePortChannel } from "../comm/message-port.ts";
import { RemoteLink } from "../comm/remote.ts";
import { RingChannel, type RingEnds } from "../comm/ring-channel.ts";
import { chunkHeadsBytes } from "../comm/webrtc-channel.ts";
import { type Thrown, thrown } from "./errors.ts";
import type { Reply } from "./rank.ts";
import { programOf } from "./ranks.ts";

/** To one other rank. */
export type Pipe = MessagePort | RingEnds;

/** What a rank is told to do: plain data, and the ends of pipes. */
export interface RankStart {
  rank: number;
  /** by rank, to each other one */
  pipes: readonly (Pipe | undefined)[];
  /** whoever holds their other ends passes messages on over WebRTC */
  overWebRtc: boolean;
  program: string;
  /** the program is a module: else one of the engine's */
  isModule: boolean;
  options: unknown;
  backend: BackendChoice;
  threads: number | undefined;
  timeoutMs: number | undefined;
  /** where Node finds Dawn: this text lies in no folder */
  dawn: string | undefined;
}

/** Functions of the thread that started this one. */
export interface Starter {
  /** A rank has opened its device.
   *  @throws Error where another rank of this run has another kind */
  opened(rank: number, adapter: string): Promise<void>;
  take(rank: number, item: unknown): Promise<Reply>;
}

let link: RemoteLink | undefined;
let lost: CommunicationError | undefined;

const worker = {
  /** Runs the program to its end. */
  async run(start: RankStart, starter: Starter & ProxyMarked): Promise<{ result: unknown } | { thrown: Thrown }> {
    const { rank, pipes, overWebRtc, dawn, timeoutMs, options } = start;
    const beyond = overWebRtc ? chunkHeadsBytes : undefined;
    if (dawn !== undefined) loadDawnFrom(dawn);
    const channels: (Channel | undefined)[] = pipes.map(
      (pipe) =>
        pipe && (pipe instanceof MessagePort ? new MessagePortChannel(pipe, { beyond }) : new RingChannel(pipe)),
    );
    try {
      // Two ranks of one run must take the same kernels: nothing is measured.
      const { backend } = await createBackend({ backend: start.backend, threads: start.threads, tune: false });
      try {
        await starter.opened(rank, backend.adapter.description);
        link = new RemoteLink({ rank, channels, backend, timeoutMs });
        if (lost) link.fail(lost);
        const program = await programOf(start.isModule ? new URL(start.program) : start.program);
        const tell = (item: unknown) => starter.take(rank, item);
        const result = await program({ link, backend, tell }, options);
        await link.end();
        return { result };
      } catch (error) {
        link?.fail(error);
        // What others are told must have left before their ports close.
        await new Promise((resolve) => setTimeout(resolve, 0));
        throw error;
      } finally {
        backend.dispose();
      }
    } catch (error) {
      return { thrown: thrown(error) };
    } finally {
      // One that never came to a link would be waited for.
      if (link) link.close();
      else for (const channel of channels) channel?.close();
    }
  },

  /** A rank is gone that cannot say so itself. */
  async lose(rank: number, reason: string): Promise<void> {
    lost = new CommunicationError(`rank ${rank} is gone: ${reason}`, { rank });
    link?.fail(lost);
  },
};

export type RankWorker = typeof worker;

if (inNode()) {
  const { parentPort } = require("node:worker_threads") as typeof import("node:worker_threads");
  if (parentPort) expose(worker, nodeEndpoint(parentPort));
} else expose(worker);
