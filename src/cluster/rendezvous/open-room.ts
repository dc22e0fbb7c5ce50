// A room as its server's owner has it: what it is made of, and what can be done with it.

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
