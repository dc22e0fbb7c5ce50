// What a member sees of its room and of a start: the interface of whoever joins, however the room is reached.

import type { RelayWire } from "../../comm/relay-channel.ts";
import type { RendezvousError } from "./connection.ts";
import type { RoomObjects } from "./objects.ts";
import type { Member, Plan } from "./protocol.ts";
import type { RoomSignalling } from "./signalling.ts";

export interface RoomEvents {
  /** who is there, after every change */
  members?(members: readonly Member[]): void;
  left?(member: Member, reason: string): void;
  /** the room runs something else from now on: agree anew */
  plan?(plan: Plan): void;
  /** what happened to the connection, in words */
  note?(text: string): void;
  /** the room is out of reach for good */
  lost?(error: RendezvousError): void;
}

export interface JoinOptions {
  /** http, https, ws or wss, or a room on NATS: nats, in a page nats+ws or nats+wss; the link without what follows its # */
  url: string;
  secret: string;
  /** for people: cut to 40 characters that can be printed, as `adapter` to 120 */
  name: string;
  adapter: string;
  /** a watcher sees the members and gets no rank; "rank" by default */
  role?: Member["role"];
  events?: RoomEvents;
  /** called after agreeing and before a start, which waits for it: to load the program, to open a device */
  prepare?(plan: Plan): Promise<void>;
  /** how often a lost connection is tried again before it is given up, with pauses that double up to 5 s; 10 by default */
  retries?: number;
  /** before the first of them; 250 by default */
  retryMs?: number;
}

/** A mesh that this member is a rank of. */
export interface Start extends Plan {
  rank: number;
  /** number of ranks */
  size: number;
  /** of this room's starts: another number for each, growing */
  generation: number;
  /** by rank */
  members: readonly Member[];
  signalling: RoomSignalling;
  /** Frames for a rank through the room itself, where it can carry them: for those that no channel of their own leads to.
   *  @throws RendezvousError when there is no connection to the room */
  wire?: (to: number) => RelayWire;
  /** What the room keeps, where it has no server of its own that gives pages.
   *  @throws RendezvousError when there is no connection to the room, or it keeps nothing */
  objects?: () => Promise<RoomObjects>;
  /** Aborted, with an Error, once another rank says that the run has ended; not by lost connections to the room. It may be aborted
   *  already when the start comes: on a busy machine both come in one piece. */
  over: AbortSignal;
  /** Tells the others that the run has ended on this rank, and why. */
  end(reason: string): void;
}

export interface RoomClient {
  readonly plan: Plan;
  readonly members: readonly Member[];
  /** this member's, another one after the connection was lost */
  readonly number: number;
  /** Agrees to what the room runs. Resolves when enough have and all are ready; to be called again for the next start.
   *  @throws RendezvousError when it was not ready in time, the plan changed, or the room is out of reach */
  agree(): Promise<Start>;
  leave(): void;
}
