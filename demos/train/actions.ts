// What the page's buttons do. The engine lives in the worker; this side asks, and takes what it tells into its signals.

import { batch, effect } from "@preact/signals";
import { proxy, type Remote } from "comlink";
import { type Engine, startEngine, wordsOf } from "../kit/engine.ts";
import { Curve } from "./curve.ts";
import type { Kept, News, TextFacts } from "./news.ts";
import { newRunId, usualTemperature } from "./settings.ts";
import {
  away,
  busy,
  curve,
  device,
  failed,
  figures,
  finished,
  kept,
  looking,
  notKept,
  openedCheckpoint,
  outlook,
  phase,
  prompt,
  rateFactor,
  runId,
  samples,
  setSettings,
  settingsNow,
  started,
  temperature,
  text,
  textWrong,
  timeline,
  tracing,
  writing,
  writingNow,
} from "./state.ts";
import type { From, TrainEngine } from "./worker.ts";

let engine: Engine<TrainEngine> = startTrainEngine();

/** The worker of now. */
export const remote = (): Remote<TrainEngine> => engine.remote;

/** Workers that have answered: one that never did is not started again and again. */
const lived = new WeakSet<Engine<TrainEngine>>();

function startTrainEngine(): Engine<TrainEngine> {
  const begun = startEngine<TrainEngine>("train");
  void begun.crashed.then((why) => engineEnded(begun, why));
  void watchLife(begun);
  return begun;
}

/** A worker that ends in silence is told by its lock, which falls free. Pages that came over http from elsewhere have no locks. */
async function watchLife(begun: Engine<TrainEngine>): Promise<void> {
  const name = `shardgrad-train-${Math.random()}`;
  await begun.remote.live(name);
  lived.add(begun);
  if (!("locks" in navigator)) return;
  await navigator.locks.request(name, () => undefined);
  engineEnded(begun, "The thread that computes has ended: the browser may have needed its memory.");
}

/** A new one takes its place; what this browser keeps of the run is still there. */
function engineEnded(ended: Engine<TrainEngine>, why: string): void {
  if (ended !== engine) return;
  const training = busy.value;
  ended.end();
  if (!lived.has(ended)) {
    failed.value = { title: "This page cannot compute", text: why };
    return;
  }
  engine = startTrainEngine();
  batch(() => {
    phase.value = "idle";
    forgetShown();
    openedCheckpoint.value = undefined;
    if (training) failed.value = { title: "The run has stopped", text: why };
  });
  void takeText(lastTake);
  void lookForKept();
}

/** Under this name the tab remembers, over a reload, which run it kept last. */
const ownRun = "shardgrad-train-run";

async function lookForKept(): Promise<void> {
  kept.value = await engine.remote.kept(sessionStorage.getItem(ownRun) ?? undefined).catch(() => undefined);
  if (kept.value && !started.value) await lookAt(kept.value);
}

/** Shows a kept run that is over; one that is not stays a notice. */
async function lookAt({ id }: Kept): Promise<void> {
  const mine = engine;
  const record = await mine.remote.look(id, proxy(take)).catch(() => undefined);
  if (!record || mine !== engine || busy.value || kept.value?.id !== id) return;
  batch(() => {
    forgetShown();
    runId.value = id;
    looking.value = true;
    started.value = record.started;
    figures.value = record.figures;
    finished.value = record.finished;
    take({ history: record.history });
  });
}

/** What the page shows of a run. */
function forgetShown(): void {
  for (const each of [started, figures, timeline, finished]) each.value = undefined;
  curve.value = { of: new Curve(), version: 0 };
  samples.value = [];
  writing.value = "";
  looking.value = false;
}

/** What gives the worker its text: asked again when a new one takes its place. */
let lastTake = (): Promise<TextFacts> => engine.remote.sources();

async function takeText(take: () => Promise<TextFacts>): Promise<boolean> {
  try {
    const facts = await take();
    lastTake = take;
    batch(() => {
      text.value = facts;
      textWrong.value = undefined;
    });
    return true;
  } catch (error) {
    textWrong.value = wordsOf(error);
    return false;
  }
}
export const loadSources = (): Promise<boolean> => takeText(() => engine.remote.sources());
export const loadText = (whole: string): Promise<boolean> => takeText(() => engine.remote.text("pasted text", whole));
export const loadFile = (file: File): Promise<boolean> => takeText(() => engine.remote.file(file));

export async function openCheckpoint(file: File): Promise<void> {
  try {
    const opened = await engine.remote.open(file);
    batch(() => {
      failed.value = undefined;
      openedCheckpoint.value = opened;
      setSettings({ ...opened.settings, steps: stepsBeyond(opened) });
    });
  } catch (error) {
    failed.value = { title: "This checkpoint cannot be opened", text: wordsOf(error) };
  }
}

/** A run that was through goes on for as long again. */
export const stepsBeyond = ({ step, settings }: { step: number; settings: { steps: number } }): number =>
  settings.steps > step ? settings.steps : 2 * step;

export const closeCheckpoint = (): void => {
  openedCheckpoint.value = undefined;
};

export async function goOnFromKept(): Promise<void> {
  const last = kept.value;
  if (!last) return;
  setSettings({ ...last.settings, steps: stepsBeyond(last) });
  await start("kept");
}

export async function forgetKept(): Promise<void> {
  if (kept.value) await engine.remote.forget(kept.value.id);
  if (looking.value) {
    await engine.remote.leave();
    batch(forgetShown);
  }
  await lookForKept();
}

export async function start(from: From = openedCheckpoint.value ? "file" : "anew"): Promise<void> {
  if (busy.value) return;
  const id = from === "kept" && kept.value ? kept.value.id : newRunId();
  batch(() => {
    phase.value = "starting";
    if (from !== "kept") kept.value = undefined;
    runId.value = id;
    forgetShown();
    for (const each of [failed, notKept, away]) each.value = undefined;
    tracing.value = false;
  });
  const mine = engine;
  try {
    await mine.remote.start(settingsNow.value, { from, id, rateFactor: rateFactor.value }, proxy(take));
  } catch (error) {
    if (mine === engine) failed.value = { title: "This run cannot start", text: wordsOf(error) };
  }
  if (mine !== engine) return;
  phase.value = "idle";
  // One that failed before a checkpoint: what was kept before it is offered again.
  if (!kept.value) void lookForKept();
}

function take(news: News): void {
  batch(() => {
    const { of, version } = curve.value;
    const rows = [...(news.history?.steps ?? []), ...(news.steps ?? [])];
    const evals = [...(news.history?.evals ?? []), ...(news.evals ?? [])];
    of.addSteps(rows);
    of.addEvals(evals);
    if (rows.length + evals.length > 0) curve.value = { of, version: version + 1 };
    const written = [...(news.history?.samples ?? []), ...(news.samples ?? [])];
    if (written.length > 0) samples.value = [...samples.value, ...written];
    if (news.text) text.value = news.text;
    if (news.started) {
      started.value = news.started;
      runId.value = news.started.id;
      if (phase.value === "starting") phase.value = "running";
    }
    if (news.writing !== undefined) writing.value = news.writing;
    if (news.figures) figures.value = news.figures;
    if (news.timeline) {
      timeline.value = news.timeline;
      tracing.value = false;
    }
    if (news.kept) {
      kept.value = news.kept;
      sessionStorage.setItem(ownRun, news.kept.id);
    }
    if ("notKept" in news) notKept.value = news.notKept;
    if (news.paused === true && phase.value === "pausing") phase.value = "paused";
    if (news.finished) finished.value = news.finished;
    if (news.failed) failed.value = news.failed;
  });
}

export function pause(): void {
  if (phase.value !== "running") return;
  phase.value = "pausing";
  void engine.remote.pause();
}
export function goOn(): void {
  if (phase.value !== "paused" && phase.value !== "pausing") return;
  phase.value = "running";
  void engine.remote.goOn();
}
export function end(): void {
  phase.value = "ending";
  void engine.remote.end();
}
export function traceSteps(steps: number): void {
  tracing.value = true;
  void engine.remote.trace(steps);
}
/** After the next step where one comes and nothing of one's own is wanted, which ranks write together; else from the checkpoint of now. */
export async function writeSample(tokens: number): Promise<void> {
  const wanted = { prompt: prompt.value, temperature: temperature.value };
  const usual = wanted.prompt === "" && wanted.temperature === usualTemperature;
  if (usual && phase.value === "running") return engine.remote.sample(tokens);
  writingNow.value = true;
  try {
    await engine.remote.write(wanted);
  } catch (error) {
    failed.value = { title: "Nothing could be written", text: wordsOf(error) };
  } finally {
    writingNow.value = false;
  }
}

effect(() => {
  const factor = rateFactor.value;
  if (started.peek() && busy.peek()) void engine.remote.setRateFactor(factor);
});

/** What the library's configuration calls the fields of this page. */
const fieldNames = { n_head: "heads", n_embd: "width", n_layer: "layers", n_positions: "context" } as const;
const inFieldNames = (words: string): string =>
  Object.entries(fieldNames).reduce((text, [name, field]) => text.replaceAll(name, field), words);

/** Settings are looked at when nobody has moved one for so long. */
const lookAfterMs = 120;
let lookAfter: ReturnType<typeof setTimeout> | undefined;
effect(() => {
  const now = settingsNow.value;
  void text.value;
  clearTimeout(lookAfter);
  lookAfter = setTimeout(async () => {
    try {
      outlook.value = await engine.remote.outlook(now);
    } catch (error) {
      outlook.value = { wrong: inFieldNames(wordsOf(error)) };
    }
  }, lookAfterMs);
});

/** Once, when the page has come to life. */
export function begin(): void {
  void loadSources();
  void lookForKept();
  engine.remote.device().then(
    (found) => (device.value = found),
    () => undefined,
  );
}
