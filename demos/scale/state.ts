// What the page shows: the question, which its address holds, and the answers of its two workers. One answers while sliders move; the
// other goes on with what takes longer, once they rest.

import { batch, computed, effect, signal } from "@preact/signals";
import { proxy } from "comlink";
import { type Engine, startEngine, wordsOf } from "../kit/engine.ts";
import { type Codec, decimal, field, flag, oneOf, urlState, wholeNumber } from "../kit/url.ts";
import type { Crossover } from "./crossover.ts";
import { better, type Figures } from "./figures.ts";
import { firstQuestion, type Preset, type Question, sizesOf } from "./question.ts";
import type { Growth, ScalePoint } from "./scaling.ts";
import type { SweepPoint } from "./sweep.ts";
import type { StepTrace } from "./trace.ts";
import type { Comparison, MeshAnswer, Planned, ScaleWorker } from "./worker.ts";

export const mostDevices = 1024;
/** Powers of two by which a machine's numbers may be multiplied. */
export const factors = { bandwidth: [-8, 8], latency: [-8, 8], memory: [-4, 4] } as const;

const words: Codec<string> = {
  read: (text) => (/^[\w.-]{0,40}$/.test(text) ? text : undefined),
  write: (text) => text,
};
const factor = ([from, to]: readonly [number, number]) => decimal({ from: 2 ** from, to: 2 ** to });

const first = firstQuestion;
export const state = urlState({
  arch: field(oneOf("gpt2", "llama"), first.arch),
  layers: field(wholeNumber({ from: 1, to: 1000 }), first.layers),
  width: field(wholeNumber({ from: 1, to: 131072 }), first.width),
  heads: field(wholeNumber({ from: 1, to: 1024 }), first.heads),
  kvHeads: field(wholeNumber({ from: 1, to: 1024 }), first.kvHeads),
  ffn: field(wholeNumber({ from: 0, to: 524288 }), first.ffn),
  vocab: field(wholeNumber({ from: 2, to: 1_000_000 }), first.vocab),
  context: field(wholeNumber({ from: 1, to: 131072 }), first.context),
  batch: field(wholeNumber({ from: 1, to: 65536 }), first.batch),
  accumulate: field(wholeNumber({ from: 1, to: 4096 }), first.accumulate),
  recompute: field(flag, first.recompute),
  dtype: field(oneOf("f32", "f16"), first.dtype),
  devices: field(wholeNumber({ from: 1, to: mostDevices }), first.devices),
  profile: field(words, first.profile),
  network: field(words, first.network),
  bandwidth: field(factor(factors.bandwidth), first.bandwidth),
  latency: field(factor(factors.latency), first.latency),
  memory: field(factor(factors.memory), first.memory),
  /** the mesh that is looked into, "2.5d 2x2x4"; the fastest when empty */
  mesh: field<string>({ read: (text) => (/^[\w.]+ [\dx]+$/.test(text) ? text : undefined), write: (text) => text }, ""),
  growth: field(oneOf<Growth>("strong", "weak"), "strong"),
});

export const question = computed((): Question => {
  const { mesh: _, growth: __, ...rest } = state;
  return Object.fromEntries(Object.entries(rest).map(([name, each]) => [name, each.value])) as unknown as Question;
});

/** Sizes of another model. What is of the step stays. */
export function takePreset(preset: Preset): void {
  batch(() => {
    for (const [name, value] of Object.entries(sizesOf(preset)))
      (state[name as keyof typeof state] as { value: unknown }).value = value;
  });
}

/** What a worker was asked last: its answer, what it is at, or what was wrong with the question. An answer stays until the next. */
function answerOf<T>() {
  return { value: signal<T>(), busy: signal<string>(), wrong: signal<string>() };
}
type Answer<T> = ReturnType<typeof answerOf<T>>;

export const comparison = answerOf<Comparison>();
export const crossing = answerOf<Crossover>();
export const curve = answerOf<ScalePoint[]>();
export const swept = answerOf<SweepPoint[]>();
export const trace = answerOf<StepTrace>();
export const planned = answerOf<Planned & { question: Question }>();
export const machines = signal<Awaited<ReturnType<ScaleWorker["machines"]>>>();
export const crashed = signal<string>();

export const nameOf = ({ layout, dims }: Pick<MeshAnswer, "layout" | "dims">): string => `${layout} ${dims.join("x")}`;

/** The fastest, of those that fit if any does. */
export const fastest = computed((): Figures | undefined => {
  const found = (comparison.value.value?.meshes ?? []).flatMap(({ figures }) => (figures ? [figures] : []));
  return found.length > 0 ? found.reduce(better) : undefined;
});

/** The mesh that is looked into. */
export const chosen = computed((): Figures | undefined => {
  const wanted = comparison.value.value?.meshes.find((mesh) => nameOf(mesh) === state.mesh.value)?.figures;
  return wanted ?? fastest.value;
});

let live: Engine<ScaleWorker>;
let later: Engine<ScaleWorker>;

/** Sliders move in many small steps: this long after the last one the question is asked. */
const restMs = 60;
/** And this long after it what takes longer. */
const laterMs = 350;

/** Up to so many devices a search for the best takes about a second. */
const soonPlanned = 16;

async function ask<T>(
  answer: Answer<T>,
  { doing, work }: { doing: string; work: (tell: (what: string) => void) => Promise<T | undefined> },
): Promise<void> {
  answer.busy.value = doing;
  let done = false;
  // What is told goes another way than the answer, and may come after it.
  const tell = (what: string) => {
    if (!done) answer.busy.value = what;
  };
  try {
    const value = await work(proxy(tell));
    // A newer question is on its way then, and says itself when it is done.
    if (value === undefined) return;
    batch(() => {
      answer.value.value = value;
      answer.wrong.value = undefined;
      answer.busy.value = undefined;
    });
  } catch (error) {
    batch(() => {
      answer.wrong.value = wordsOf(error);
      answer.busy.value = undefined;
    });
  } finally {
    done = true;
  }
}

const compare = (asked: Question) =>
  ask(comparison, { doing: "simulating", work: (tell) => live.remote.compare(asked, tell) });

const askTrace = (asked: Question, mesh: Figures) =>
  ask(trace, {
    doing: "simulating",
    work: () => later.remote.trace(asked, { layout: mesh.layout, dims: mesh.dims }),
  });

const askCurve = (asked: Question, growth: Growth) =>
  ask(curve, {
    doing: "simulating",
    work: (tell) =>
      later.remote.scaling(
        asked,
        growth,
        proxy((devices: number) => tell(`${devices} devices`)),
      ),
  });

/** What a search depends on: micro-batches and recomputation it finds itself. */
export const searched = ({ accumulate: _, recompute: __, ...rest }: Question): string => JSON.stringify(rest);

/** What the page is to show of what was found. */
export function take({ shape, accumulate, recompute }: Planned["choices"][number]): void {
  batch(() => {
    state.mesh.value = nameOf(shape);
    state.accumulate.value = accumulate;
    state.recompute.value = recompute;
  });
}

/** What `shardgrad plan` would take. */
export const askPlan = (asked: Question) =>
  ask(planned, {
    doing: "searching",
    work: async (tell) => {
      const found = await later.remote.plan(asked, tell);
      return found && { ...found, question: asked };
    },
  });

function dropPlan(): void {
  batch(() => {
    planned.busy.value = undefined;
    planned.wrong.value = undefined;
  });
  void later.remote.dropPlan();
}

/** Starts the workers, and asks whenever the question is another. */
export function start(): void {
  live = startEngine<ScaleWorker>("live");
  later = startEngine<ScaleWorker>("later");
  for (const { crashed: why } of [live, later]) void why.then((text) => (crashed.value = text));
  void live.remote.machines().then((value) => (machines.value = value));
  let resting: ReturnType<typeof setTimeout> | undefined;
  effect(() => {
    const asked = question.value;
    clearTimeout(resting);
    resting = setTimeout(() => void compare(asked), restMs);
  });
  const answered = () => comparison.value.value;
  whenRested(
    () => {
      const [known, mesh] = [answered(), chosen.value];
      return known && mesh && { asked: known.question, mesh };
    },
    ({ asked, mesh }) => askTrace(asked, mesh),
  );
  whenRested(answered, ({ question: asked }) =>
    ask(crossing, { doing: "simulating", work: () => later.remote.crossover(asked) }),
  );
  whenRested(
    () => {
      const known = answered();
      return known && { asked: known.question, growth: state.growth.value };
    },
    ({ asked, growth }) => askCurve(asked, growth),
  );
  whenRested(answered, ({ question: asked }) =>
    ask(swept, { doing: "simulating", work: () => later.remote.sweep(asked) }),
  );
  whenRested(answered, ({ question: asked }) => {
    const known = planned.value.value;
    if (known && searched(known.question) === searched(asked)) return;
    if (asked.devices <= soonPlanned) void askPlan(asked);
    else dropPlan();
  });
}

/** Does `work` with what was read last, when that has rested. */
function whenRested<T>(read: () => T | undefined, work: (value: T) => unknown): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  effect(() => {
    const value = read();
    clearTimeout(timer);
    if (value !== undefined) timer = setTimeout(() => work(value), laterMs);
  });
}
