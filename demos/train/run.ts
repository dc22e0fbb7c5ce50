// One run: follows the library's events, tells the page of them, holds between two of them when it is paused, and keeps checkpoints.

import { createBackend, TrainControls, type TrainEvent } from "shardgrad";
import { type Timeline, trainOnMesh, workerRanks } from "shardgrad/parallel";
import { failureOf } from "./failure.ts";
import type { KeptText } from "./keep.ts";
import { Keeper } from "./keeper.ts";
import type { History, News, RankFigures, RunRecord, Sample, Wanted } from "./news.ts";
import { Outbox } from "./outbox.ts";
import { packTimeline } from "./pack.ts";
import { type RunPlan, sampleTokens } from "./plan.ts";
import { type Settings, usualTemperature } from "./settings.ts";
import { writeFrom } from "./write.ts";

/** Steps traced unasked, once the first ones have made what they need. */
const firstTrace = { behind: 2, steps: 2 };

type EventOf<Name extends TrainEvent["event"]> = Extract<TrainEvent, { event: Name }>;

export interface RunOptions {
  /** by which its checkpoints are kept; one that is kept under it already makes room for them */
  id: string;
  settings: Settings;
  plan: RunPlan;
  text: KeptText;
  /** a checkpoint to go on from, and what was known until then */
  resume?: { bytes: Uint8Array; history: History };
  /** as the page has it when the run begins */
  rateFactor: number;
  tell: (news: News) => void;
}

export class Run {
  readonly controls = new TrainControls();
  readonly record: RunRecord;
  /** the last one asked for, in full */
  timeline: { timeline: Timeline; from: number; to: number } | undefined;
  /** the newest one */
  checkpoint: { step: number; bytes: Uint8Array } | undefined;
  readonly #options: RunOptions;
  readonly #outbox: Outbox;
  readonly #abort = new AbortController();
  /** those who wait for the next checkpoint */
  #waiting: { resolve(checkpoint: { step: number; bytes: Uint8Array }): void; reject(error: Error): void }[] = [];
  #paused: Promise<void> | undefined;
  #goOn: (() => void) | undefined;
  #step = 0;
  #ended = false;
  readonly #keeper: Keeper;
  /** of ranks, as last told, as text */
  #toldFigures = "";
  /** of the sample that is being written */
  #tokens: number[] = [];
  /** samples written while it held or was over */
  #written = 0;

  constructor(options: RunOptions) {
    this.#options = options;
    const { settings, text, resume, rateFactor, tell } = options;
    this.#outbox = new Outbox(tell);
    this.#keeper = new Keeper(options, (news) => this.#outbox.add(news));
    this.controls.learningRateFactor = rateFactor;
    this.record = {
      settings,
      textName: text.facts.name,
      history: resume?.history ?? { steps: [], evals: [], samples: [] },
    };
  }

  /** One that was over before this page: as it was kept, to be looked at, to write with and to save. */
  static over(options: RunOptions & { resume: { bytes: Uint8Array } }, record: RunRecord): Run {
    const run = new Run(options);
    run.checkpoint = { step: record.finished!.steps, bytes: options.resume.bytes };
    Object.assign(run.record, record);
    run.#keeper.keeps(run.checkpoint.step);
    run.#ended = true;
    return run;
  }

  get underWay(): boolean {
    return !this.#ended;
  }

  /** Holds the run behind a checkpoint of the step under way: nobody asks for the next event until it goes on. */
  pause(): void {
    if (this.#paused) return;
    this.controls.checkpoint();
    this.#paused = new Promise((resolve) => {
      this.#goOn = resolve;
    });
  }

  goOn(): void {
    this.#goOn?.();
    this.#paused = undefined;
    this.#outbox.add({ paused: false });
  }

  /** Ends it with what it has, behind a checkpoint of the step under way. */
  end(): void {
    this.controls.checkpoint();
    this.#abort.abort();
    this.goOn();
  }

  /** The checkpoint of now: of the step under way, or the one behind which the run holds. */
  async checkpointNow(): Promise<{ step: number; bytes: Uint8Array }> {
    const { checkpoint } = this;
    if (checkpoint && (checkpoint.step === this.#step || this.#ended)) return checkpoint;
    if (this.#ended) throw noCheckpoint();
    this.controls.checkpoint();
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** A sample from the checkpoint of now, beside the run where that goes on.
   *  @throws UserError for a prompt with characters that the model does not know */
  async write({ prompt, temperature }: Wanted): Promise<void> {
    const { plan, settings } = this.#options;
    const { tokenizer, corpus } = plan;
    const given = prompt === "" ? corpus.tokens.validation.slice(0, 1) : tokenizer.encode(prompt);
    const { step, bytes } = await this.checkpointNow();
    const tokens = [...given];
    // Another text each time.
    const seed = settings.seed + ++this.#written;
    const how = { backend: settings.backend, prompt: given, tokens: sampleTokens, temperature, seed };
    for await (const token of writeFrom(bytes, how)) {
      tokens.push(token);
      this.#outbox.add({ writing: tokenizer.decode(tokens) });
      await turn();
    }
    const sample: Sample = { step, text: tokenizer.decode(tokens) };
    if (temperature !== usualTemperature) sample.temperature = temperature;
    this.record.history.samples.push(sample);
    this.#outbox.add({ samples: [sample], writing: "" });
    if (this.#ended) await this.#keeper.keepRecord(this.record);
  }

  /** Runs to its end; what goes wrong is told, not thrown. */
  async follow(): Promise<void> {
    const { settings, plan, resume } = this.#options;
    const { controls, record } = this;
    this.#outbox.add({ text: this.#options.text.facts, history: structuredClone(record.history) });
    let backend: Awaited<ReturnType<typeof createBackend>> | undefined;
    try {
      const inWorkers = settings.place === "workers";
      backend = inWorkers ? undefined : await createBackend({ backend: settings.backend });
      const where = backend ? { backend: backend.backend } : { ranks: workerRanks({ backend: settings.backend }) };
      const run = { ...where, ...plan, controls, watch: true, signal: this.#abort.signal, resume: resume?.bytes };
      this.#keeper.begin();
      for await (const event of trainOnMesh(run)) {
        this.#take(event, backend?.note);
        if (event.event === "checkpoint" && this.#paused) await this.#hold();
        // A backend that never waits for a device would leave no turn to hear the page in.
        await turn();
      }
    } catch (error) {
      record.failed = failureOf(error);
      this.#outbox.add({ failed: record.failed });
    } finally {
      backend?.backend.dispose();
      this.#ended = true;
      for (const { reject } of this.#waiting.splice(0)) reject(noCheckpoint());
      await this.#keeper.keepRecord(record);
      this.#outbox.flush();
    }
  }

  async #hold(): Promise<void> {
    // Asked for while this one was being made: it would be the next step's, which nobody asked for.
    this.controls.take("checkpoint");
    this.#outbox.add({ paused: true });
    await this.#paused;
  }

  #take(event: TrainEvent, note: string | undefined): void {
    const { history } = this.record;
    if (event.event === "start") this.#takeStart(event, note);
    else if (event.event === "step") this.#takeStep(event);
    else if (event.event === "eval") {
      const row = [event.step, event.trainLoss, event.validationLoss] as const;
      history.evals.push(row);
      this.#outbox.add({ evals: [row] });
    } else if (event.event === "token") {
      this.#tokens.push(event.token);
      this.#outbox.add({ writing: this.#options.plan.tokenizer.decode(this.#tokens) });
    } else if (event.event === "sample") {
      const sample = { step: event.step, text: event.text };
      history.samples.push(sample);
      this.#tokens = [];
      this.#outbox.add({ samples: [sample], writing: "" });
    } else if (event.event === "timeline") {
      const { timeline, from, to } = event;
      this.timeline = { timeline, from, to };
      this.#outbox.add({ timeline: packTimeline(timeline, { from, to }) });
    } else if (event.event === "checkpoint") this.#takeCheckpoint(event.step, event.bytes);
    else if (event.event === "done") this.#takeDone(event);
  }

  #takeStart(event: EventOf<"start">, note: string | undefined): void {
    const { parameterCount, tokensPerStep, parameters, dtype, dtypeNote, resumedAt = 0, backend, adapter } = event;
    this.#step = resumedAt;
    const started = {
      id: this.#options.id,
      ...{ parameterCount, tokensPerStep, steps: parameters.steps, resumedAt, dtype, dtypeNote },
      ...{ ranks: this.#options.plan.shape.size, note: note ?? `${backend} in each worker: ${adapter}` },
    };
    this.record.started = started;
    this.#outbox.add({ started });
  }

  #takeDone({ steps, validationLoss, durationMs, peakBytes }: EventOf<"done">): void {
    const early = steps < (this.record.started?.steps ?? 0);
    this.record.finished = { steps, early, validationLoss, durationMs, peakBytes: peakBytes.total };
    this.#outbox.add({ finished: this.record.finished });
  }

  #takeStep(event: EventOf<"step">): void {
    const { record, controls } = this;
    const { step, loss, learningRate, durationMs, bytesReceived, closedFormBytes, traffic, ranks } = event;
    const row = [step, loss, learningRate, durationMs] as const;
    this.#step = step;
    record.history.steps.push(row);
    this.#outbox.add({ steps: [row] });
    const { started } = record;
    const last = step === started?.steps;
    if (traffic && ranks) {
      record.figures = {
        ...{ step, traffic, memory: ranks.map(({ memory }) => memory) },
        ...{ received: bytesReceived ?? [0], closedForm: closedFormBytes ?? [0] },
      };
      this.#tellFigures(record.figures);
    }
    const { sampleEvery } = this.#options.settings;
    // The first shows what a model writes that has learned nothing; the last comes by itself.
    const first = step === (started?.resumedAt ?? 0) + 1 && record.history.samples.length === 0;
    if (sampleEvery > 0 && !last && (first || step % sampleEvery === 0)) controls.sample(sampleTokens);
    if (step === (started?.resumedAt ?? 0) + firstTrace.behind) controls.trace(firstTrace.steps);
    if (last || this.#keeper.due) controls.checkpoint();
  }

  /** Most steps are like the one before: the page has less to draw. */
  #tellFigures(figures: RankFigures): void {
    const { step, ...rest } = figures;
    const told = JSON.stringify(rest);
    if (told === this.#toldFigures) return;
    this.#toldFigures = told;
    this.#outbox.add({ figures });
  }

  #takeCheckpoint(step: number, bytes: Uint8Array): void {
    this.checkpoint = { step, bytes };
    for (const { resolve } of this.#waiting.splice(0)) resolve(this.checkpoint);
    this.#keeper.keep({ step, bytes }, this.record.history);
  }
}

const noCheckpoint = (): Error => new Error("the run was over before a checkpoint of it was made: start it again");

/** The thread's other tasks, the page's calls among them, have their turn. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}
