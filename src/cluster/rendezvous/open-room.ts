// Rooms and their server as its owner has them: what a room is made of, and what can be done with both.

import type { RoomLimits } from "./limits.ts";
import type { Page } from "./pages.ts";
import type { Member, Plan } from "./protocol.ts";

export interface RoomSpec {
  plan: Plan;
  /** 16 to 128 characters of a-z, A-Z, 0-9 and -._~; a random one of 128 bits when absent */
  secret?: string;
  /** from then on nobody joins any more; members stay. Never when absent. */
  expiresInMs?: number;
  /** without a rank for so long it is closed; never when absent */
  emptyMs?: number;
  /** pages that are there as long as the room is */
  pages?: (path: string) => Page | undefined;
  limits?: Partial<RoomLimits>;
}

export interface OpenRoom {
  /** without the secret */
  readonly url: string;
  /** what to give to those who shall join: the secret is after its # */
  readonly joinUrl: string;
  readonly members: readonly Member[];
  /** Another plan, to which members have to agree anew; a run goes on.
   *  @throws UserError for a plan that cannot be */
  propose(plan: Plan): void;
  /** Sends everybody out. */
  close(): void;
}

export interface RoomServer {
  /** how others reach it: http://HOST:PORT or its public address */
  readonly origin: string;
  /** its first page, from this machine: also where its public address leads nowhere */
  readonly localUrl: string;
  /** A room.
   *  @param name 1 to 40 of a-z, 0-9 and -
   *  @throws UserError for a name that is taken or no name, or too many rooms */
  open(name: string, spec: RoomSpec): OpenRoom;
  /** Ends all rooms and all connections, and frees the port. */
  close(): Promise<void>;
}

/** A server and its first room, whose close is the server's. */
export interface Rendezvous extends RoomServer, Omit<OpenRoom, "close"> {}
