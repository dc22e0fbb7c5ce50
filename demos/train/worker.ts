// The Train page's worker: what the page may ask of it. Everything heavy is here or in threads started from here.

import { expose, transfer } from "comlink";
import { listAdapters } from "shardgrad";
import { chromeTrace, readCheckpoint } from "shardgrad/parallel";
import { forgetRun, type KeptText, keptAbout, keptRun, lockRun } from "./keep.ts";
import type { History, Kept, News, OpenedCheckpoint, Outlook, RunRecord, TextFacts, Wanted } from "./news.ts";
import { buffersOf } from "./pack.ts";
import { outlookOf, planRun } from "./plan.ts";
import { Run } from "./run.ts";
import { newRunId, type Settings } from "./settings.ts";
import { takeFile, takeSources, takeText } from "./text.ts";

/** What a run begins with: nothing, a file that was opened, or the run that this browser keeps. */
export type From = "anew" | "file" | "kept";

let text: KeptText | undefined;
let opened: Uint8Array | undefined;
let run: Run | undefined;

const textNow = async (): Promise<KeptText> => (text ??= await takeSources());

/** What a run goes on from.
 *  @param of the kept one */
async function resumed(from: From, of: string): Promise<{ bytes: Uint8Array; history: History } | undefined> {
  if (from === "file" && opened) return { bytes: opened, history: { steps: [], evals: [], samples: [] } };
  if (from !== "kept") return undefined;
  const kept = await keptRun(of);
  if (!kept)
    throw new Error("this browser keeps no run any more: another tab may have forgotten it, or needed its place");
  text = kept.text;
  // A run that was over wrote and was evaluated behind its last checkpoint too.
  return { bytes: kept.checkpoint, history: kept.record?.history ?? kept.history };
}

const requireRun = (): Run => {
  if (!run) throw new Error("there is no run yet: start one");
  return run;
};

const engine = {
  /** Resolves once this thread holds the lock of that name, which it does as long as it lives; at once where there are no locks. */
  live(lock: string): Promise<void> {
    return new Promise((resolve) => {
      if (!("locks" in navigator)) return resolve();
      void navigator.locks.request(lock, () => {
        resolve();
        return new Promise(() => {});
      });
    });
  },

  async sources(): Promise<TextFacts> {
    return (text = await takeSources()).facts;
  },
  text(name: string, whole: string): TextFacts {
    return (text = takeText(name, whole)).facts;
  },
  async file(file: File): Promise<TextFacts> {
    return (text = await takeFile(file)).facts;
  },

  /** What a run of these settings would be.
   *  @throws UserError where they do not fit each other */
  async outlook(settings: Settings): Promise<Outlook> {
    return outlookOf(settings, { vocabulary: (await textNow()).facts.different });
  },

  /** What computes when nothing else is asked for, and whether it stores f16. */
  async device(): Promise<{ note: string; f16: boolean }> {
    const { adapters, note } = await listAdapters();
    return { note, f16: note.startsWith("webgpu") && adapters[0].features.includes("shader-f16") };
  },

  /** Keeps a file at hand that a run may go on from.
   *  @throws UserError for what is no checkpoint */
  async open(file: File): Promise<OpenedCheckpoint> {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const { config, parameters, step } = readCheckpoint(bytes);
    if (config.model_type !== "gpt2")
      throw new Error(`${file.name}: got a ${config.model_type}, need a GPT-2, which is what this page trains`);
    opened = bytes;
    const { n_layer: layers, n_head: heads, n_embd: width, n_positions: context } = config;
    const { batch, steps, learningRate: rate, seed, dtype = "f32" } = parameters;
    return { name: file.name, step, settings: { layers, heads, width, context, batch, steps, rate, seed, dtype } };
  },

  /** @param own the run that this tab kept last */
  kept: (own: string | undefined): Promise<Kept | undefined> => keptAbout(own),
  forget: (id: string): Promise<void> => forgetRun(id),

  /** A kept run that is over is shown, unless another one is under way.
   *  @returns what is shown of it, its text included; undefined for one that can only be gone on with */
  async look(id: string, tell: (news: News) => void): Promise<RunRecord | undefined> {
    const kept = await keptRun(id);
    if (!kept?.record || run?.underWay) return undefined;
    const { settings } = kept.record;
    const { tokenizer } = readCheckpoint(kept.checkpoint);
    const plan = planRun(settings, { text: kept.text.text, tokenizer });
    const resume = { bytes: kept.checkpoint, history: kept.record.history };
    run = Run.over({ id, settings, plan, text: kept.text, resume, rateFactor: 1, tell }, kept.record);
    return kept.record;
  },
  /** Nothing is looked at any more. */
  leave(): void {
    run = undefined;
  },

  /** @param id of the kept run to go on from, or a new one
   *  Runs to the end, or until it is ended.
   *  @throws UserError where settings, text and checkpoint do not fit each other */
  async start(
    settings: Settings,
    { from, id, rateFactor }: { from: From; id: string; rateFactor: number },
    tell: (news: News) => void,
  ): Promise<void> {
    const resume = await resumed(from, id);
    const trained = await textNow();
    const plan = planRun(settings, {
      text: trained.text,
      tokenizer: resume && readCheckpoint(resume.bytes).tokenizer,
    });
    const free = await lockRun(id);
    // A run that goes on in another tab is not overwritten: this one goes another way from the same checkpoint.
    const own = free ? id : newRunId();
    const release = free ?? (await lockRun(own));
    try {
      run = new Run({
        ...{ id: own, settings, plan, text: trained, resume, rateFactor },
        tell: (news) => void tell(news.timeline ? transfer(news, buffersOf(news.timeline)) : news),
      });
      await run.follow();
    } finally {
      release?.();
    }
  },
  pause: () => requireRun().pause(),
  goOn: () => requireRun().goOn(),
  end: () => requireRun().end(),
  setRateFactor(factor: number): void {
    requireRun().controls.learningRateFactor = factor;
  },
  trace: (steps: number): void => requireRun().controls.trace(steps),
  sample: (tokens: number): void => requireRun().controls.sample(tokens),

  write: (wanted: Wanted): Promise<void> => requireRun().write(wanted),

  /** Has a checkpoint of now kept in this browser. */
  async keep(): Promise<void> {
    await requireRun().checkpointNow();
  },
  async checkpointFile(): Promise<{ step: number; file: Blob }> {
    const { step, bytes } = await requireRun().checkpointNow();
    return { step, file: new Blob([bytes as Uint8Array<ArrayBuffer>], { type: "application/octet-stream" }) };
  },
  /** For ui.perfetto.dev. */
  traceFile(): Blob {
    const { timeline } = requireRun();
    if (!timeline) throw new Error("no step has been traced yet: trace some first");
    const { from, to } = timeline;
    return new Blob([...chromeTrace(timeline.timeline, { from, to })], { type: "application/json" });
  },
  async reportFile(): Promise<Blob> {
    const { reportHtml } = await import("./report.ts");
    return new Blob([reportHtml(requireRun().record)], { type: "text/html" });
  },
};

export type TrainEngine = typeof engine;

expose(engine);
