// What the page shows: the question, which its address holds, and the answers of its two workers. One answers while sliders move; the
// other goes on with what takes longer, once they rest.

import { batch, computed, effect, signal } from "@preact/signals";
import { proxy } from "comlink";
import { type Engine, startEngine } from "../kit/engine.ts";
import { type Codec, decimal, field, flag, oneOf, urlState, wholeNumber } from "../kit/url.ts";
import { answerTo, ask, forget } from "./answer.ts";
import type { Crossover } from "./crossover.ts";
import { better, type Figures } from "./figures.ts";
import { firstQuestion, type Preset, type Question, sizesOf } from "./question.ts";
import type { Growth, ScalePoint } from "./scaling.ts";
import type { SweepPoint } from "./sweep.ts";
import type { StepTrace } from "./trace.ts";
import type { Comparison, Machine, MeshAnswer, Planned, ScaleWorker } from "./worker.ts";

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

const textOf = (asked: Question): string => JSON.stringify(asked);
const grown = (asked: Question, growth: Growth): string => `${textOf(asked)} ${growth}`;
const looked = (asked: Question, mesh: Pick<MeshAnswer, "layout" | "dims">): string =>
  `${textOf(asked)} ${nameOf(mesh)}`;
/** What a search depends on: micro-batches and recomputation it finds itself. */
const searched = ({ accumulate: _, recompute: __, ...rest }: Question): string => JSON.stringify(rest);

const asked = () => textOf(question.value);
export const machine = answerTo<Machine>(asked);
export const comparison = answerTo<Comparison>(asked);
export const crossing = answerTo<Crossover>(asked);
export const swept = answerTo<SweepPoint[]>(asked);
export const curve = answerTo<ScalePoint[]>(() => grown(question.value, state.growth.value));
export const trace = answerTo<StepTrace>(() => (chosen.value ? looked(question.value, chosen.value) : ""));
export const planned = answerTo<Planned>(() => searched(question.value));
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

/** Why there is nothing to draw of what takes a mesh; undefined while there is one, or none is known yet. */
export const nothing = computed((): string | undefined => {
  const known = comparison.value.value;
  if (!known || fastest.value) return undefined;
  return `No mesh of ${known.question.devices} devices can train this model and batch: there is nothing to show.`;
});

let live: Engine<ScaleWorker>;
let later: Engine<ScaleWorker>;

/** Sliders move in many small steps: this long after the last one the question is asked. */
const restMs = 60;
/** And this long after it what takes longer. */
const laterMs = 350;

/** Up to so many devices a search for the best takes about a second. */
export const soonPlanned = 16;

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
    ...{ question: searched(asked), doing: "searching" },
    work: (tell) => later.remote.plan(asked, tell),
  });

/** Nobody waits for a search, or for its answer. */
function dropPlan(): void {
  if (forget(planned)) void later.remote.dropPlan();
}

/** Starts the workers, and asks whenever the question is another. */
export function start(): void {
  live = startEngine<ScaleWorker>("live");
  later = startEngine<ScaleWorker>("later");
  for (const { crashed: why } of [live, later]) void why.then((text) => (crashed.value = text));
  void live.remote.machines().then((value) => (machines.value = value));
  let resting: ReturnType<typeof setTimeout> | undefined;
  effect(() => {
    const next = question.value;
    const asking = { question: textOf(next), doing: "simulating" };
    clearTimeout(resting);
    resting = setTimeout(() => {
      void ask(machine, { ...asking, work: () => live.remote.machine(next) });
      void ask(comparison, { ...asking, work: (tell) => live.remote.compare(next, tell) });
    }, restMs);
  });
  /** What can be simulated, on some mesh: what takes longer is asked about nothing else. */
  const possible = () => {
    const known = comparison.value.value;
    return known && fastest.value ? known.question : undefined;
  };
  whenRested({
    read: () => possible() && chosen.value && { next: possible()!, mesh: chosen.value },
    work: ({ next, mesh }) =>
      ask(trace, {
        ...{ question: looked(next, mesh), doing: "simulating" },
        work: () => later.remote.trace(next, { layout: mesh.layout, dims: mesh.dims }),
      }),
    drop: () => forget(trace),
  });
  whenRested({
    read: () => comparison.value.value?.question,
    work: (next) =>
      ask(crossing, {
        ...{ question: textOf(next), doing: "simulating" },
        work: () => later.remote.crossover(next),
      }),
    drop: () => forget(crossing),
  });
  whenRested({
    read: () => comparison.value.value && { next: comparison.value.value.question, growth: state.growth.value },
    work: ({ next, growth }) =>
      ask(curve, {
        ...{ question: grown(next, growth), doing: "simulating" },
        work: (tell) =>
          later.remote.scaling(
            next,
            growth,
            proxy((devices: number) => tell(`${devices} devices`)),
          ),
      }),
    drop: () => forget(curve),
  });
  whenRested({
    read: possible,
    work: (next) =>
      ask(swept, { ...{ question: textOf(next), doing: "simulating" }, work: () => later.remote.sweep(next) }),
    drop: () => forget(swept),
  });
  whenRested({
    read: () => comparison.value.value?.question,
    work: (next) => {
      if (planned.value.value && planned.answers.value === searched(next)) return;
      if (next.devices <= soonPlanned) void askPlan(next);
      else dropPlan();
    },
    drop: dropPlan,
  });
}

/** Does `work` with what was read last, when that has rested; `drop` at once where there is nothing. */
function whenRested<T>(of: { read: () => T | undefined; work: (value: T) => unknown; drop: () => unknown }): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  effect(() => {
    const value = of.read();
    clearTimeout(timer);
    if (value === undefined) of.drop();
    else timer = setTimeout(() => of.work(value), laterMs);
  });
}
