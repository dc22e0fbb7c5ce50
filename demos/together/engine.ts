// What page and worker say to each other: plain data, and ports to the other ranks.

import type { TrainEvent } from "shardgrad";
import type { IceOptions, PartStart, RoomClient } from "shardgrad/parallel";
import type { Choice } from "./choice.ts";

export type Plan = RoomClient["plan"];
export type Member = RoomClient["members"][number];

/** What computes here. */
export interface Device {
  /** for others: "cpu, 2 threads, 47 GFLOP/s" */
  line: string;
  /** what was taken, and why */
  note: string;
  /** of products */
  flopsPerSecond: number;
}

export interface TextFacts {
  name: string;
  characters: number;
  /** different ones: the vocabulary */
  vocabulary: number;
}

/** What a run costs. */
export interface Cost {
  model: string;
  parameters: number;
  dims: readonly number[];
  layout: string;
  steps: number;
  tokensPerStep: number;
  /** of all ranks together */
  flopsPerStep: number;
  /** by rank, each step */
  bytesReceived: readonly number[];
  textBytes: number;
  wire: "f32" | "f16";
}

/** What a choice costs, and whether the text is too short for it. */
export interface ChoiceCost {
  cost: Cost;
  /** in words */
  tooShort: string | undefined;
}

/** What a rank tells of its run. */
export interface News {
  event: TrainEvent;
  /** bytes of the step before */
  received: number;
  closedForm: number;
}

/** Ports to the other ranks, by rank; or why there are none, and whose doing that is. An error would lose the latter on its way. */
export type Connected = { ports: (MessagePort | undefined)[] } | { message: string; rank: number | undefined };

/** The page's side of a run. */
export interface Host {
  /** Ways to the other ranks: workers have no WebRTC. */
  connect(options: IceOptions & { timeoutMs?: number }): Promise<Connected>;
  /** They will not be needed any more. */
  giveUp(reason: string): void;
  note(text: string): void;
  news(list: readonly News[]): void;
}

/** A start without what cannot cross to a worker. */
export type PlainStart = Omit<PartStart, "over" | "objects">;

/** How a run ended on this rank. */
export type Ended =
  | { how: "done" }
  /** another rank is at fault, if any: this one may start again */
  | { how: "others"; message: string; rank: number }
  | { how: "failed"; message: string };

export interface TogetherWorker {
  /** Opens the device and measures it; once. */
  device(): Promise<Device>;
  /** Takes a text, or this project's sources.
   *  @throws Error in words that a person understands */
  text(given?: { name: string; text: string }): Promise<TextFacts>;
  /** Of a choice on the text taken last. */
  cost(choice: Choice): Promise<ChoiceCost>;
  /** Of what a room runs.
   *  @throws Error for what this page cannot run */
  costOfPlan(plan: Pick<Plan, "program" | "options" | "layout" | "dims">): Promise<Cost>;
  /** Opens a room; its link.
   *  @throws Error in the server's words */
  open(choice: Choice): Promise<string>;
  /** Takes part in a run to its end. Never rejects. */
  part(start: PlainStart, host: Host): Promise<Ended>;
  /** The run under way ends: the rank leaves, or others have ended it. */
  stop(reason?: string): void;
}
