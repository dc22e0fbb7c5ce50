// What the page shows: the problem and the view are in the address, what the worker made of them is not.

import { batch, computed, effect, signal } from "@preact/signals";
import { backends } from "../kit/backends.ts";
import { type Engine, startEngine, wordsOf } from "../kit/engine.ts";
import { decimal, field, oneOf, urlState, wholeNumber } from "../kit/url.ts";
import type { BlockName } from "./blocks.ts";
import { framesOf, holdingsAt } from "./frames.ts";
import {
  type Kernel,
  type Layout,
  largestExtent,
  type Multiplied,
  mostRanks,
  type Problem,
  type Race,
} from "./problem.ts";
import type { ProductsEngine } from "./worker.ts";

const extent = wholeNumber({ from: 1, to: largestExtent });
const raceExtent = wholeNumber({ from: 64, to: 65536 });

export const state = urlState({
  view: field(oneOf("watch", "race"), "watch"),
  layout: field(oneOf<Layout>("1d", "2d", "2.5d"), "2.5d"),
  form: field(oneOf("AB", "ABT", "ATB"), "AB"),
  ranks: field(wholeNumber({ from: 2, to: mostRanks }), 8),
  q: field(wholeNumber({ from: 2, to: 8 }), 2),
  d: field(wholeNumber({ from: 2, to: 16 }), 2),
  m: field(extent, 192),
  n: field(extent, 96),
  k: field(extent, 128),
  backend: field(oneOf(...backends), "auto"),
  step: field(wholeNumber({ from: 0, to: 10_000 }), 0),
  speed: field(oneOf("0.5", "1", "2", "4"), "1"),
  devices: field(oneOf("4", "8", "16", "32", "64"), "64"),
  rows: field(raceExtent, 8192),
  columns: field(raceExtent, 8192),
  inner: field(raceExtent, 4096),
  profile: field({ read: (text: string) => text, write: String }, "a100"),
  network: field({ read: (text: string) => text, write: String }, ""),
  time: field(decimal({ from: 0, to: 1 }), 1),
});

/** What a mesh of 2.5D can be as deep as, with q ranks in its rows. */
export const deepest = (q: number): number => Math.min(16, Math.floor(mostRanks / q ** 2));
export const widest = (layout: Layout): number => (layout === "2.5d" ? 4 : 8);

// A mesh of one layout may be too large for another: sliders stay within what they show.
effect(() => {
  const { layout, q, d } = state;
  if (q.value > widest(layout.value)) q.value = widest(layout.value);
  if (layout.value === "2.5d" && d.value > deepest(q.value)) d.value = deepest(q.value);
});

export const dims = computed((): number[] => {
  const { layout, ranks, q, d } = state;
  if (layout.value === "1d") return [ranks.value];
  return layout.value === "2d" ? [q.value, q.value] : [q.value, q.value, d.value];
});

const problem = computed(
  (): Problem => ({
    backend: state.backend.value,
    dims: dims.value,
    form: state.form.value,
    size: { m: state.m.value, n: state.n.value, k: state.k.value },
  }),
);

/** The last product that was computed. */
export const run = signal<Multiplied | undefined>(undefined);
export const race = signal<Race | undefined>(undefined);
/** what went wrong, in words */
export const trouble = signal<string | undefined>(undefined);
export const busy = signal(false);

/** The block that is pointed at or has the focus. */
export const pointed = signal<BlockName | undefined>(undefined);

export const frames = computed(() => (run.value?.result.watched ? framesOf(run.value.result.watched) : []));
export const lastStep = computed(() => Math.max(0, frames.value.length - 1));

/** The frame that is shown, which plays on without a new address for each. */
export const shown = signal(state.step.peek());
/** of that frame, from 0 to 1 */
export const progress = signal(1);

export const frame = computed(() => frames.value[Math.min(shown.value, lastStep.value)]);
/** What every rank has at the end of the frame, and had before it. */
export const holdings = computed(() => {
  const watched = run.value?.result.watched;
  const at = Math.min(shown.value, lastStep.value);
  if (!watched || frames.value.length === 0) return undefined;
  return {
    now: holdingsAt(watched, frames.value, at),
    before: holdingsAt(watched, frames.value, Math.max(0, at - 1)),
  };
});

let engine: Engine<ProductsEngine> | undefined;

function engineNow(): Engine<ProductsEngine> {
  if (!engine) {
    const started = startEngine<ProductsEngine>("products");
    engine = started;
    // The next question starts another.
    void started.crashed.then(() => {
      if (engine === started) engine = undefined;
      started.end();
    });
  }
  return engine;
}

export const availableProfiles = () => engineNow().remote.profiles();

/** Its answer; of an engine that crashes, why there is none. */
function asked<A>(question: (remote: Engine<ProductsEngine>["remote"]) => Promise<A>): Promise<A> {
  const { remote, crashed } = engineNow();
  const end = crashed.then((words) => {
    throw new Error(words);
  });
  return Promise.race([question(remote), end]);
}

/** The kernel of a product that was computed. */
export const kernelOf = (of: Multiplied): Promise<Kernel> => asked((remote) => remote.kernel(of));

/** A slider's way is not followed in every place. */
const pauseMs = 120;

/** Asks the worker whenever what it is asked changes, for the latest alone. */
function answered<Q, A>(options: {
  question: () => Q | undefined;
  ask: (question: Q) => Promise<A>;
  take: (answer: A) => void;
}): void {
  let latest = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let under: Promise<unknown> = Promise.resolve();
  effect(() => {
    const question = options.question();
    const number = ++latest;
    clearTimeout(timer);
    if (question === undefined) return;
    busy.value = true;
    timer = setTimeout(
      () => {
        // One after another: a question that is no longer the latest is not asked.
        under = under.then(async () => {
          if (number !== latest) return;
          try {
            const answer = await options.ask(question);
            if (number !== latest) return;
            batch(() => {
              trouble.value = undefined;
              busy.value = false;
              options.take(answer);
            });
          } catch (error) {
            if (number !== latest) return;
            batch(() => {
              trouble.value = wordsOf(error);
              busy.value = false;
            });
          }
        });
      },
      number === 1 ? 0 : pauseMs,
    );
  });
}

/** Begins to answer; once. */
export function start(): void {
  answered({
    question: () => (state.view.value === "watch" ? problem.value : undefined),
    ask: (question) => asked((remote) => remote.multiply(question)),
    take: (answer) => {
      run.value = answer;
      pointed.value = undefined;
    },
  });
  answered({
    question: () =>
      state.view.value === "race"
        ? {
            ranks: Number(state.devices.value),
            form: state.form.value,
            size: { m: state.rows.value, n: state.columns.value, k: state.inner.value },
            profile: state.profile.value,
            network: state.network.value,
          }
        : undefined,
    ask: (question) => asked((remote) => remote.race(question)),
    take: (answer) => {
      race.value = answer;
    },
  });
}
