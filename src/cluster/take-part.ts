// A rank's part in a room's run, in a page or a terminal: finds the text, connects to the other ranks, and trains with them.

import type { Backend } from "../backend/backend.ts";
import { UserError } from "../backend/errors.ts";
import type { Channel } from "../comm/channel.ts";
import { type IceOptions, iceBounds, iceUrls, isTurn } from "../comm/ice.ts";
import { CommunicationError } from "../comm/link.ts";
import { RemoteLink } from "../comm/remote.ts";
import { type ModelConfig, parseModelConfig } from "../nn/config.ts";
import { shardedExtents } from "../nn/extents.ts";
import { trainingTraffic } from "../nn/traffic.ts";
import { type LayoutName, type MeshShape, meshShape, requireLegal } from "../parallel/shape.ts";
import { makeCorpus, textFromBytes } from "../train/corpus.ts";
import type { TrainEvent, TrainParameters } from "../train/events.ts";
import { isTrainParameters } from "../train/parameters.ts";
import { byteTokenizer, charTokenizer } from "../train/tokenizer.ts";
import { type TrainNews, trainRank } from "./programs.ts";
import type { Start } from "./rendezvous/membership.ts";
import { connectOrRelay, type RelayOptions } from "./rendezvous/relays.ts";
import { isPlannedText, type PlannedText, textOfRoom } from "./training-text.ts";

/** The options of a room's plan whose program is "train". */
export interface RoomTraining {
  /** as config.json has it */
  config: Record<string, unknown>;
  parameters: TrainParameters;
  tokenizer: "char" | "byte";
  text: PlannedText;
  /** how long ranks wait for each other */
  timeoutMs: number;
}

/** What a rank is told of the run as it goes. */
export interface PartListener {
  /** what is being done before the first step, in words */
  note?(text: string): void;
  /** bytes: what this rank received in the step, and what the closed form says */
  event?(event: TrainEvent, bytes: { received: number; closedForm: number }): void;
}

/** What a rank's part needs of its start; the rest is for connecting. */
export type PartStart = Pick<
  Start,
  "rank" | "size" | "program" | "options" | "layout" | "dims" | "ice" | "over" | "objects"
>;

/** Open channels to the other ranks, by rank. */
export type ConnectPart = (options: Omit<RelayOptions, "start">) => Promise<(Channel | undefined)[]>;

interface PartOfAny {
  backend: Backend;
  url: string;
  /** the text, where this rank has it: else the room gives it */
  text?: Uint8Array;
  /** of this rank, beside the room's */
  ice?: IceOptions;
  signal?: AbortSignal;
  listener?: PartListener;
}

/** connect: where the start's own signals are another thread's, since workers have no WebRTC */
type PartOptions = PartOfAny & ({ start: Start; connect?: undefined } | { start: PartStart; connect: ConnectPart });

/** Takes part from the start to the end of a run.
 *  @param url of the room
 *  @param signal ends this rank's part, and so the run
 *  @throws CommunicationError when another rank fails or falls silent; UserError for a plan that this version cannot run */
export async function takePart(options: PartOptions): Promise<void> {
  const { start, backend, url, signal, listener } = options;
  const { rank, size } = start;
  const { training, config, shape } = planned(start);
  const ice = together(start.ice, options.ice);
  const { parameters, timeoutMs, text: wanted } = training;
  // What ends the run from outside, from the beginning on: another rank may fail before this one has a link.
  const ended = new AbortController();
  const leave = () => ended.abort(new CommunicationError(`rank ${rank} has left`, { rank }));
  const over = () => {
    const { reason } = start.over;
    ended.abort(new CommunicationError(reason instanceof Error ? reason.message : String(reason), { rank }));
  };
  signal?.addEventListener("abort", leave);
  start.over.addEventListener("abort", over);
  if (signal?.aborted) leave();
  if (start.over.aborted) over();
  let link: RemoteLink | undefined;
  try {
    const given = options.text;
    const { signal: end } = ended;
    const text = textFromBytes(await textOfRoom({ start, url, wanted, given, signal: end, note: listener?.note }));
    const tokenizer = training.tokenizer === "char" ? charTokenizer(text) : byteTokenizer();
    const corpus = makeCorpus({ tokens: tokenizer.encode(text), context: parameters.context });
    // What has ended meanwhile needs no connections.
    end.throwIfAborted();
    listener?.note?.(`connecting to ${size - 1} other ranks`);
    const told = { ...ice, timeoutMs, signal: end, note: listener?.note };
    const channels = await (options.connect
      ? options.connect(told)
      : connectOrRelay({ start: options.start, ...told }));
    const own = new RemoteLink({ rank, channels, backend, timeoutMs });
    link = own;
    end.addEventListener("abort", () => own.fail(end.reason));
    if (end.aborted) own.fail(end.reason);
    let closedForm = 0;
    const tell = async (item: unknown) => {
      const { event, entries } = item as TrainNews;
      if (event.event === "start")
        closedForm = trainingTraffic(config, { shape, ...parameters, dtype: event.dtype }).bytesReceived[rank];
      const received = entries.reduce((sum, { bytes }) => sum + bytes, 0);
      listener?.event?.(event, { received, closedForm });
      return { goOn: true, aborted: false };
    };
    const run = { shape, config, tokenizer: tokenizer.toJSON(), tokens: corpus.tokens, parameters };
    await trainRank({ link: own, backend, tell }, run);
    // From here on another rank's end is what this one waits for.
    start.over.removeEventListener("abort", over);
    await own.end();
  } catch (error) {
    link?.fail(error);
    throw error;
  } finally {
    signal?.removeEventListener("abort", leave);
    start.over.removeEventListener("abort", over);
    link?.close();
  }
}

/** What the plan says, checked: it comes from whoever opened the room. */
export function planned({ program, options, layout, dims }: Pick<Start, "program" | "options" | "layout" | "dims">): {
  training: RoomTraining;
  config: ModelConfig;
  shape: MeshShape;
} {
  if (program !== "train")
    throw new UserError(`the room runs ${program}, which this version does not know; need train`);
  let training: RoomTraining;
  try {
    training = Object(JSON.parse(options)) as RoomTraining;
  } catch {
    throw new UserError("the room's options are not JSON");
  }
  const { text, parameters, tokenizer, timeoutMs } = training;
  const fits =
    isPlannedText(text) &&
    (tokenizer === "char" || tokenizer === "byte") &&
    isTrainParameters(parameters) &&
    Number.isSafeInteger(timeoutMs) &&
    timeoutMs > 0;
  if (!fits) throw new UserError("the room's options are not those of a training run");
  const config = parseModelConfig(training.config);
  const shape = meshShape({ layout: layout as LayoutName, dims: [...dims] });
  requireLegal(shape, { ...shardedExtents(config), batch: parameters.batch, context: parameters.context });
  return { training, config, shape };
}

/** The room's servers and a rank's own. The stricter policy holds.
 *  @throws UserError for too many, or for relays alone where there are none */
function together(room: IceOptions = {}, own: IceOptions = {}): IceOptions {
  const iceServers = [...(room.iceServers ?? []), ...(own.iceServers ?? [])];
  if (iceServers.length > iceBounds.servers)
    throw new UserError(
      `the room has ${room.iceServers?.length} STUN and TURN servers and this rank ${own.iceServers?.length} of its own; need at most ${iceBounds.servers} together: leave some --ice out`,
    );
  const relay = room.iceTransportPolicy === "relay" || own.iceTransportPolicy === "relay";
  if (relay && !iceUrls({ iceServers }).some(isTurn))
    throw new UserError("channels shall go by way of TURN servers alone, but neither the room nor this rank has one");
  return { iceServers, iceTransportPolicy: relay ? "relay" : "all" };
}
