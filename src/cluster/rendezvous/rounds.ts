// From agreement to a start, and again: who of a room's members becomes which rank, in which generation, and who may signal to whom. Knows
// no secrets and no connections; the clock is the room's.
//
//   here -- agree --> agreed -- enough agreed, nobody runs --> preparing -- all ready --> running -- over --> here or agreed

import {
  bounds,
  type FromRoom,
  type Member,
  type Plan,
  ProtocolError,
  printable,
  sizeOfPlan,
  type ToRoom,
} from "./protocol.ts";

type Said<K extends ToRoom["kind"]> = Extract<ToRoom, { kind: K }>;

/** A member as rounds see it. */
export interface Participant extends Member {
  send(message: FromRoom): void;
  /** of the last signal that was relayed */
  sequence: number;
}

export interface RoundTimes {
  /** how long chosen members are given to be ready, before they are asked again */
  readyMs: number;
  /** how often they are asked in all */
  readyAttempts: number;
  /** how long the next start waits for members of a run that has ended */
  settleMs: number;
}

interface Barrier {
  generation: number;
  ranks: readonly Participant[];
  ready: Set<Participant>;
  attempt: number;
  askedMs: number;
}

interface Run {
  generation: number;
  /** by rank; undefined: has left the run */
  ranks: (Participant | undefined)[];
}

export class Rounds {
  readonly #members: ReadonlyMap<number, Participant>;
  readonly #times: RoundTimes;
  readonly #changed: (member: Participant) => void;
  #plan: Plan;
  #planNumber = 1;
  #generation: number;
  #barrier: Barrier | undefined;
  #run: Run | undefined;
  /** until when members of a run that has ended are waited for */
  #settleMs: number | undefined;
  /** signals of another generation, to ranks that have left, or seen before */
  droppedSignals = 0;

  constructor(options: {
    plan: Plan;
    firstGeneration: number;
    /** in the order of joining */
    members: ReadonlyMap<number, Participant>;
    times: RoundTimes;
    /** called for every change of a member's state or rank */
    changed: (member: Participant) => void;
  }) {
    this.#plan = options.plan;
    this.#generation = options.firstGeneration - 1;
    this.#members = options.members;
    this.#times = options.times;
    this.#changed = options.changed;
  }

  get plan(): { plan: Plan; planNumber: number } {
    return { plan: this.#plan, planNumber: this.#planNumber };
  }

  /** Another plan: who agreed to the one before has to agree again. A run goes on. */
  propose(plan: Plan): void {
    this.#plan = plan;
    this.#planNumber++;
    this.#barrier = undefined;
    for (const member of this.#members.values()) {
      member.send({ kind: "plan", ...this.plan });
      if (member.state === "agreed" || member.state === "preparing") this.#set(member, "here");
    }
  }

  agree(member: Participant, { plan }: Said<"agree">, nowMs: number): void {
    if (member.role !== "rank") throw new ProtocolError("a watcher agreed to take part");
    if (member.state === "running") this.#end(member, { reason: "has ended the run", nowMs });
    // An agreement to another plan was sent before it heard of the one that holds now.
    if (member.state === "here" && plan === this.#planNumber) this.#set(member, "agreed");
    this.#consider(nowMs);
  }

  ready(member: Participant, { generation }: Said<"ready">): void {
    const barrier = this.#barrier;
    if (barrier?.generation !== generation || !barrier.ranks.includes(member)) return;
    barrier.ready.add(member);
    if (barrier.ready.size === barrier.ranks.length) this.#start(barrier);
  }

  over(member: Participant, { generation, reason }: Said<"over">, nowMs: number): void {
    // One that joined while its mesh was running has no rank: what it says of a generation counts for itself only.
    const rankless = member.rank === undefined;
    if (member.state !== "running" || (!rankless && this.#run?.generation !== generation)) return;
    this.#end(member, { reason, nowMs });
    this.#consider(nowMs);
  }

  /** @throws ProtocolError for a rank that the mesh does not have */
  signal(member: Participant, { generation, to, sequence, data }: Said<"signal">): void {
    const run = this.#run;
    const from = run?.ranks.indexOf(member) ?? -1;
    if (!run || from < 0 || run.generation !== generation || sequence <= member.sequence) {
      this.droppedSignals++;
      return;
    }
    if (to >= run.ranks.length || to === from) throw new ProtocolError("a signal is for no other rank of the mesh");
    member.sequence = sequence;
    const receiver = run.ranks[to];
    if (receiver) receiver.send({ kind: "signal", generation, from, data });
    else this.droppedSignals++;
  }

  /** To be called once it is no longer among the members. A run goes on: its ranks need the room no more, and know better. */
  left(member: Participant, nowMs: number): void {
    if (this.#barrier?.ranks.includes(member)) this.#abandon(this.#barrier.ranks.filter((each) => each !== member));
    const run = this.#run;
    if (run) {
      const rank = run.ranks.indexOf(member);
      if (rank >= 0) run.ranks[rank] = undefined;
      if (run.ranks.every((each) => each === undefined)) this.#run = undefined;
    }
    this.#consider(nowMs);
  }

  tick(nowMs: number): void {
    if (this.#settleMs !== undefined && nowMs >= this.#settleMs) {
      this.#settleMs = undefined;
      for (const member of this.#members.values()) if (member.state === "running") this.#set(member, "here");
      this.#consider(nowMs);
    }
    const barrier = this.#barrier;
    const { readyMs, readyAttempts } = this.#times;
    if (!barrier || nowMs - barrier.askedMs < readyMs) return;
    const missing = barrier.ranks.filter((member) => !barrier.ready.has(member));
    if (barrier.attempt < readyAttempts) {
      barrier.attempt++;
      barrier.askedMs = nowMs;
      for (const member of missing) this.#ask(member, barrier);
      return;
    }
    this.#abandon([...barrier.ready]);
    const seconds = (readyMs * readyAttempts) / 1000;
    const reason = `was not ready within ${seconds} s, asked ${readyAttempts} times; agree again to take part`;
    for (const member of missing) {
      this.#set(member, "here");
      member.send({ kind: "over", generation: barrier.generation, reason });
    }
    this.#consider(nowMs);
  }

  /** Begins to start when enough have agreed. Who is still in a run is waited for, so that survivors start together. */
  #consider(nowMs: number): void {
    const members = [...this.#members.values()];
    if (this.#barrier || members.some(({ state }) => state === "running")) return;
    this.#settleMs = undefined;
    const size = sizeOfPlan(this.#plan);
    const ranks = members.filter(({ state }) => state === "agreed").slice(0, size);
    if (ranks.length < size) return;
    const generation = ++this.#generation;
    const barrier = { generation, ranks, ready: new Set<Participant>(), attempt: 1, askedMs: nowMs };
    this.#barrier = barrier;
    for (const [rank, member] of ranks.entries()) this.#set(member, "preparing", rank);
    for (const member of ranks) this.#ask(member, barrier);
  }

  #ask(member: Participant, { generation, ranks }: Barrier): void {
    member.send({ kind: "prepare", generation, rank: ranks.indexOf(member) });
  }

  /** The barrier is given up; these wait for the next. */
  #abandon(waiting: readonly Participant[]): void {
    this.#barrier = undefined;
    for (const member of waiting) this.#set(member, "agreed");
  }

  #start({ generation, ranks }: Barrier): void {
    this.#barrier = undefined;
    this.#run = { generation, ranks: [...ranks] };
    for (const [rank, member] of ranks.entries()) {
      this.#set(member, "running", rank);
      member.send({ kind: "start", generation, rank, ranks: ranks.map((each) => each.number) });
    }
  }

  /** A member's run has ended. All ranks are needed: so has every other's. */
  #end(member: Participant, { reason, nowMs }: { reason: string; nowMs: number }): void {
    const run = this.#run;
    const rank = run?.ranks.indexOf(member) ?? -1;
    this.#set(member, "here");
    if (run && rank >= 0) {
      this.#run = undefined;
      const text = printable(`rank ${rank}: ${reason}`, bounds.reason);
      for (const other of run.ranks)
        if (other && other !== member) other.send({ kind: "over", generation: run.generation, reason: text });
    }
    if (!this.#run) this.#settleMs ??= nowMs + this.#times.settleMs;
  }

  #set(member: Participant, state: Member["state"], rank?: number): void {
    member.state = state;
    member.rank = rank;
    this.#changed(member);
  }
}
