// What two ranks say to each other through a rendezvous before they are connected. All of it comes from strangers: what
// is not exactly this is no signal.

export interface Description {
  readonly kind: "offer" | "answer";
  /** number of the connection it belongs to */
  readonly attempt: number;
  readonly sdp: string;
}

export interface Candidate {
  readonly kind: "candidate";
  readonly attempt: number;
  readonly candidate: string;
  /** of the part of the description it belongs to */
  readonly mid: string;
}

/** JSON, as it is. */
export type SignalData = Description | Candidate;

/** Characters: descriptions of one data channel have about 1000, and 100 for each of the machine's addresses. */
const maxSdp = 16_384;
const maxCandidate = 1024;
const maxMid = 16;

const isText = (value: unknown, longest: number): value is string =>
  typeof value === "string" && value.length > 0 && value.length <= longest;

/** @returns undefined for anything that no rank says */
export function parseSignal(data: unknown): SignalData | undefined {
  if (typeof data !== "object" || data === null) return undefined;
  const { kind, attempt, sdp, candidate, mid } = data as Record<string, unknown>;
  if (typeof attempt !== "number" || !Number.isSafeInteger(attempt) || attempt < 0) return undefined;
  if ((kind === "offer" || kind === "answer") && isText(sdp, maxSdp)) return { kind, attempt, sdp };
  if (kind === "candidate" && isText(candidate, maxCandidate) && isText(mid, maxMid))
    return { kind, attempt, candidate, mid };
  return undefined;
}
