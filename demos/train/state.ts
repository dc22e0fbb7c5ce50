// What the page knows, as signals: settings, which its address holds, and what the run under way has said.

import { batch, computed, signal } from "@preact/signals";
import { backends } from "../kit/backends.ts";
import { support } from "../kit/support.tsx";
import { decimal, field, oneOf, urlState, wholeNumber } from "../kit/url.ts";
import { Curve } from "./curve.ts";
import type {
  Failure,
  Finished,
  Kept,
  OpenedCheckpoint,
  Outlook,
  PackedTimeline,
  RankFigures,
  Sample,
  Started,
  TextFacts,
} from "./news.ts";
import { bounds, dtypes, initial, layouts, places, type Settings, smaller, usualTemperature } from "./settings.ts";

const number = (name: keyof typeof bounds) => field(wholeNumber(bounds[name]), initial[name]);

export const settings = urlState<Settings>({
  layout: field(oneOf(...layouts), initial.layout),
  ranks: number("ranks"),
  q: number("q"),
  depth: number("depth"),
  place: field(oneOf(...places), initial.place),
  backend: field(oneOf(...backends), initial.backend),
  dtype: field(oneOf(...dtypes), initial.dtype),
  layers: number("layers"),
  heads: number("heads"),
  width: number("width"),
  context: number("context"),
  batch: number("batch"),
  steps: number("steps"),
  rate: field(decimal(bounds.rate), initial.rate),
  seed: number("seed"),
  sampleEvery: number("sampleEvery"),
});

const settingNames = Object.keys(settings) as (keyof Settings)[];
export const settingsNow = computed(
  () => Object.fromEntries(settingNames.map((name) => [name, settings[name].value])) as Settings,
);
export function setSettings(values: Partial<Settings>): void {
  batch(() => {
    for (const [name, value] of Object.entries(values)) (settings[name as keyof Settings].value as unknown) = value;
  });
}

if (!support().webgpu && location.search === "") setSettings(smaller);

const oneColumn = matchMedia("(max-width: 64rem)");
/** whether the page has one column */
export const narrow = signal(oneColumn.matches);
/** settings would fill a phone's page before anything else: they are closed at first */
export const phone = matchMedia("(max-width: 40rem)").matches;
oneColumn.addEventListener("change", ({ matches }) => (narrow.value = matches));

export type Phase = "idle" | "starting" | "running" | "pausing" | "paused" | "ending";
export const phase = signal<Phase>("idle");
export const busy = computed(() => phase.value !== "idle");

export const text = signal<TextFacts | undefined>(undefined);
/** what is wrong with the text that was given last */
export const textWrong = signal<string | undefined>(undefined);
export const device = signal<{ note: string; f16: boolean } | undefined>(undefined);
export const outlook = signal<Outlook | { wrong: string } | undefined>(undefined);
export const openedCheckpoint = signal<OpenedCheckpoint | undefined>(undefined);

/** of the run under way, or the last one */
export const started = signal<Started | undefined>(undefined);
export const curve = signal<{ of: Curve; version: number }>({ of: new Curve(), version: 0 });
export const samples = signal<readonly Sample[]>([]);
export const writing = signal("");
/** of the samples that the visitor asks for */
export const prompt = signal("");
export const temperature = signal(usualTemperature);
/** a text is being written while no step is under way */
export const writingNow = signal(false);
export const figures = signal<RankFigures | undefined>(undefined);
export const timeline = signal<PackedTimeline | undefined>(undefined);
export const tracing = signal(false);
export const finished = signal<Finished | undefined>(undefined);
export const failed = signal<Failure | undefined>(undefined);
/** the run that is shown was over before this page, and is kept */
export const looking = signal(false);
/** a run that is over has left a model that writes */
export const canWriteAfter = computed(() => phase.value === "idle" && finished.value !== undefined);
/** of the run under way, or another one that this browser keeps and the page offers */
export const kept = signal<Kept | undefined>(undefined);
export const notKept = signal<Failure | undefined>(undefined);
/** what the schedule's learning rate is multiplied by */
export const rateFactor = signal(1);
/** how long the tab was hidden while the run went on, and how far it came */
export const away = signal<string | undefined>(undefined);

/** by which checkpoints of the run under way, or the last one, are kept */
export const runId = signal("");
/** whether one is */
export const safe = computed(() => kept.value?.id === runId.value);

/** The last step that came. */
export const lastStep = (): number => curve.value.of.last?.[0] ?? 0;
