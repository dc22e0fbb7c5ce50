// This page in a room: who is there, what runs, and this device's part in it, as signals. Holds the room's socket and the ranks'
// connections, which workers cannot; what is computed is the worker's.

import { batch, signal } from "@preact/signals";
import { proxy, transfer } from "comlink";
import { CommunicationError, connectRanks, joinRoom, portTo, type RoomClient, type Start } from "shardgrad/parallel";
import { type Engine, wordsOf } from "../kit/engine.ts";
import type { Connected, Cost, Device, Ended, Host, Member, Plan, TogetherWorker } from "./engine.ts";
import { labelOf } from "./names.ts";
import { RunView } from "./run-view.ts";

/** joining: measures its device, asks to be let in. here: has not agreed. waiting: has. running: until the run ends. done: it is.
 *  out: not in the room, for good or by choice. */
export type Phase = "joining" | "here" | "waiting" | "running" | "done" | "out";

export interface LogLine {
  number: number;
  /** of day */
  time: string;
  text: string;
}

export class Session {
  readonly phase = signal<Phase>("joining");
  readonly device = signal<Device | undefined>(undefined);
  readonly members = signal<readonly Member[]>([]);
  readonly plan = signal<Plan | undefined>(undefined);
  readonly cost = signal<Cost | undefined>(undefined);
  /** what is being done, in words */
  readonly note = signal("");
  /** why this page is out of the room, or cannot take part */
  readonly problem = signal<string | undefined>(undefined);
  /** the room has refused this page, and will again */
  readonly refused = signal(false);
  readonly run = signal<RunView | undefined>(undefined);
  readonly log = signal<readonly LogLine[]>([]);
  readonly #engine: Engine<TogetherWorker>;
  readonly #url: string;
  readonly #secret: string;
  #client: RoomClient | undefined;
  #lines: Connections | undefined;
  /** numbers of members that have, once */
  readonly #agreed = new Set<number>();
  #logged = 0;

  constructor(engine: Engine<TogetherWorker>, { url, secret }: { url: string; secret: string }) {
    this.#engine = engine;
    this.#url = url;
    this.#secret = secret;
    // A tab that is closed says so, and does not leave the others to find out.
    addEventListener("pagehide", () => {
      this.#client?.leave();
      this.#lines?.close();
    });
    // Nobody ends everybody's run by a slip: the browser asks first.
    addEventListener("beforeunload", (event) => {
      if (this.phase.peek() === "running") event.preventDefault();
    });
    // Kept by the browser, and shown again: it has left meanwhile.
    addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
    void engine.crashed.then((sentence) => this.#fail(`${sentence} Reload this page to take part again.`));
  }

  /** of the room's members; 0: none */
  get number(): number {
    return this.#client?.number ?? 0;
  }

  async join(name: string): Promise<void> {
    batch(() => {
      this.phase.value = "joining";
      this.problem.value = undefined;
      this.note.value = "Measuring this device…";
    });
    try {
      this.device.value ??= await this.#engine.remote.device();
      this.note.value = "Asking the room…";
      const client = await joinRoom({
        ...{ url: this.#url, secret: this.#secret, name, adapter: this.device.value.line },
        events: {
          members: (members) => this.#members(members),
          left: (member, reason) => {
            this.#lines?.left(member.number);
            // Who only looked, or came again under another name, is no news.
            if (this.#agreed.delete(member.number)) this.#say(leftText(labelOf(member, this.members.value), reason));
          },
          plan: (plan) => void this.#plan(plan).catch((error: unknown) => this.#fail(wordsOf(error))),
          note: (text) => this.#say(text),
          lost: ({ message }) => this.#lost(message),
        },
      });
      this.#client = client;
      batch(() => {
        this.phase.value = "here";
        this.note.value = "";
        this.#members(client.members);
      });
      await this.#plan(client.plan);
    } catch (error) {
      this.refused.value = error instanceof Error && "final" in error && error.final === true;
      this.#fail(wordsOf(error));
    }
  }

  /** Agrees, and takes part in each start until a run is done or this page leaves. */
  async agree(): Promise<void> {
    const client = this.#client;
    if (!client) return;
    try {
      for (;;) {
        this.phase.value = "waiting";
        const start = await client.agree();
        const ended = await this.#part(start);
        // It has left meanwhile.
        if (this.#client !== client) return;
        if (ended.how === "done") {
          start.end("done");
          this.#say("the run is done");
          this.phase.value = "done";
          return;
        }
        start.end(ended.message);
        if (ended.how === "failed") {
          this.#fail(ended.message);
          return;
        }
        this.#say(endText(ended, start));
      }
    } catch (error) {
      if (this.#client !== client) return;
      this.#say(wordsOf(error));
      if (this.phase.value !== "out") this.phase.value = "here";
    }
  }

  leave(): void {
    const client = this.#client;
    this.#client = undefined;
    void this.#engine.remote.stop();
    client?.leave();
    batch(() => {
      this.phase.value = "out";
      this.members.value = [];
      this.run.value?.end("This device has left the run.");
    });
  }

  async #part(start: Start): Promise<Ended> {
    const names = start.members.map((member) => labelOf(member, start.members));
    const view = new RunView({ rank: start.rank, names });
    batch(() => {
      this.phase.value = "running";
      this.run.value = view;
    });
    this.#say(start.size === 1 ? "the run begins" : `the run begins on ${names.join(", ")}`);
    const over = () => void this.#engine.remote.stop(wordsOf(start.over.reason));
    start.over.addEventListener("abort", over);
    const { rank, size, program, options, layout, dims, ice } = start;
    const lines = new Connections(start, view);
    this.#lines = lines;
    try {
      const plain = { rank, size, program, options, layout, dims, ...(ice && { ice }) };
      // Whoever computes closes the channels, behind its last message; unless it has crashed.
      const crashed = this.#engine.crashed.then((message): Ended => {
        lines.close();
        return { how: "failed", message };
      });
      const part = this.#engine.remote.part(plain, proxy(lines));
      // Behind its begin: the worker stops no run that it does not know.
      if (start.over.aborted) over();
      const ended = await Promise.race([part, crashed]);
      view.end(ended.how === "done" ? undefined : sentence(endText(ended, start)));
      return ended;
    } finally {
      start.over.removeEventListener("abort", over);
    }
  }

  #members(members: readonly Member[]): void {
    this.members.value = members;
    for (const member of members) {
      if (member.state === "here" || this.#agreed.has(member.number)) continue;
      this.#agreed.add(member.number);
      if (member.number !== this.number) this.#say(`${labelOf(member, members)} has agreed`);
    }
  }

  async #plan(plan: Plan): Promise<void> {
    this.plan.value = plan;
    this.cost.value = await this.#engine.remote.costOfPlan(plan);
  }

  /** A run goes on without its room. */
  #lost(message: string): void {
    this.#say(message);
    if (this.phase.value === "running") this.problem.value = `${message}. The run goes on without the room.`;
    else this.#fail(message);
  }

  #fail(message: string): void {
    this.#client?.leave();
    this.#client = undefined;
    batch(() => {
      this.phase.value = "out";
      this.problem.value = sentence(message);
      this.note.value = "";
      this.members.value = [];
    });
  }

  #say(text: string): void {
    const time = new Date().toLocaleTimeString("en-GB");
    this.log.value = [{ number: this.#logged++, time, text: sentence(text) }, ...this.log.value].slice(0, 50);
  }
}

/** The other ranks, for the worker. */
class Connections implements Host {
  readonly #start: Start;
  readonly #view: RunView;
  readonly #stop = new AbortController();
  #close: (() => void)[] = [];

  constructor(start: Start, view: RunView) {
    this.#start = start;
    this.#view = view;
  }

  async connect(options: Parameters<Host["connect"]>[0]): Promise<Connected> {
    const { rank, size, signalling } = this.#start;
    try {
      const channels = await connectRanks({ rank, size, signalling, ...options, signal: this.#stop.signal });
      this.#close = channels.map((channel) => () => channel?.close());
      const ports = channels.map((channel) => channel && portTo(channel));
      return transfer(
        { ports },
        ports.filter((port) => port !== undefined),
      );
    } catch (error) {
      return { message: wordsOf(error), rank: error instanceof CommunicationError ? error.rank : undefined };
    }
  }

  /** A member has left the room. Before there is a channel to it, nothing else tells. */
  left(number: number): void {
    const rank = this.#start.members.findIndex((member) => member.number === number);
    if (rank >= 0) this.#stop.abort(new CommunicationError(`rank ${rank} has left`, { rank }));
  }

  giveUp(reason: string): void {
    this.#stop.abort(new Error(reason));
  }

  note(text: string): void {
    this.#view.note.value = sentence(text);
  }

  news(list: Parameters<Host["news"]>[0]): void {
    this.#view.take(list);
  }

  close(): void {
    for (const close of this.#close) close();
  }
}

/** The room's reason goes on from the member's name, or says what happened to it. */
const leftText = (who: string, reason: string): string =>
  /^(has|sent|did) /.test(reason) ? `${who} ${reason}` : `${who} is gone: ${reason}`;

/** With the name of the device at fault: numbers of ranks are the run's, not people's. */
function endText(ended: Extract<Ended, { message: string }>, { rank, members }: Start): string {
  if (ended.how === "failed") return ended.message;
  const who = members[ended.rank];
  if (ended.rank === rank || !who) return `the run has ended: ${ended.message}`;
  // What follows is where in the run this rank waited for it.
  const [what] = ended.message.split("; ");
  return `the run has ended because of ${labelOf(who, members)}: ${what}`;
}

const sentence = (text: string): string => {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.…!?]$/.test(begun) ? begun : `${begun}.`;
};
