// Chooses between the plans of a kernel by what was measured on this adapter: the table of choices, what is still to be measured, and
// what goes wrong with either. Where tables are kept is store.ts, how variants are measured bench.ts.

import type { AdapterInfo } from "../../backend.ts";
import { DeviceLostError, OutOfMemoryError } from "../../errors.ts";
import type { KernelArgs, KernelName } from "../../kernels.ts";
import { deviceFacts } from "../device.ts";
import type { Chooser, DeviceFacts } from "../plan.ts";
import { attention, attentionGrad } from "./attention.ts";
import { Bench, type Timing, type TrialCall, WrongVariantError } from "./bench.ts";
import type { Family, TrialLimits, Variant } from "./family.ts";
import { products } from "./products.ts";
import type { TableStore } from "./store.ts";
import { adapterWords, shadersHash, type TuningTable } from "./table.ts";

export type Families = { readonly [K in KernelName]?: Family<K> };

/** The kernels of which there are variants. */
export const families: Families = { matmul: products, attention, attentionGrad };

/** A variant is taken in place of the fixed table's when it takes this share of its time or less: what is measured on a busy machine is
 *  off by some hundredths. */
const worthwhile = 0.97;

/** Of one call of a trial: some 30 ms of a software adapter, some milliseconds of a GPU. */
const limits: Record<"software" | "hardware", TrialLimits> = {
  software: { bytes: 2 ** 26, flop: 2 ** 28 },
  hardware: { bytes: 2 ** 27, flop: 2 ** 33 },
};

/** What is known of a class: the plan to take, or null for the fixed table's. */
type Choice<K extends KernelName> = Variant<K>["plan"] | null;

interface Wanted {
  readonly kernel: KernelName;
  readonly args: KernelArgs[KernelName];
  readonly number: number;
  readonly name: string;
}

export interface TunerOptions {
  device: GPUDevice;
  info: AdapterInfo;
  /** of the backend that is tuned, those of variants included */
  sources: Readonly<Record<string, string>>;
  /** where choices are kept; without one they go with the process */
  store?: TableStore;
  /** choices to take as they are: nothing is measured, and nothing read or kept */
  table?: TuningTable;
  /** told once of whatever is dropped or ignored, in a sentence */
  tell: (line: string) => void;
  /** tests give broken ones */
  families?: Families;
}

export class Tuner implements Chooser {
  readonly #options: TunerOptions;
  readonly #facts: DeviceFacts;
  readonly #families: Families;
  readonly #known = new Map<KernelName, Map<number, Choice<KernelName>>>();
  readonly #choices = new Map<string, string>();
  readonly #wanted = new Map<string, Wanted>();
  readonly #told = new Set<string>();
  readonly #dropped = new Set<string>();
  readonly #adapter: string;
  readonly #hash: string;
  #bench: Bench | undefined;
  #generation = 0;
  #tuning: Promise<void> | undefined;

  private constructor(options: TunerOptions, hash: string) {
    this.#options = options;
    this.#facts = deviceFacts(options.info);
    this.#families = options.families ?? families;
    for (const kernel of Object.keys(this.#families) as KernelName[]) this.#known.set(kernel, new Map());
    this.#adapter = adapterWords(options.info);
    this.#hash = hash;
  }

  /** A tuner that knows what the table given, or the store, holds. */
  static async open(options: TunerOptions): Promise<Tuner> {
    const tuner = new Tuner(options, await shadersHash(options.sources));
    const { table } = options;
    if (table) tuner.#take(table, "the table given");
    else await tuner.#load();
    return tuner;
  }

  /** Every choice so far, as JSON can hold it: what ranks on several devices exchange to run the same kernels. */
  get table(): TuningTable {
    const choices = Object.fromEntries([...this.#choices].sort(([a], [b]) => (a < b ? -1 : 1)));
    return { adapter: this.#adapter, shaders: this.#hash, choices };
  }

  get generation(): number {
    return this.#generation;
  }

  choose<K extends KernelName>(kernel: K, args: KernelArgs[K]): Variant<K>["plan"] | undefined {
    const family = this.#families[kernel];
    if (!family) return undefined;
    const known = this.#known.get(kernel)!;
    const number = family.classOf(args);
    let choice = known.get(number);
    if (choice === undefined) {
      choice = this.#find(kernel, { args, number, family });
      known.set(number, choice);
    }
    return (choice as Choice<K>) ?? undefined;
  }

  #find<K extends KernelName>(
    kernel: K,
    { args, number, family }: { args: KernelArgs[K]; number: number; family: Family<K> },
  ): Choice<KernelName> {
    const [first, ...others] = this.#variants(kernel, args);
    if (others.length === 0) return null;
    const name = family.nameOf(args);
    const chosen = this.#choices.get(name);
    if (chosen === first.name) return null;
    const variant = others.find((each) => each.name === chosen);
    if (variant) return variant.plan as Variant<KernelName>["plan"];
    if (!this.#options.table) this.#wanted.set(name, { kernel, args, number, name });
    else if (chosen !== undefined)
      this.#tell(`${name}: the table given has ${chosen}, which this device cannot run; taking ${first.name}`);
    return null;
  }

  tune(submit: () => void): Promise<void> | undefined {
    if (this.#wanted.size > 0)
      this.#tuning ??= this.#measureWanted(submit).finally(() => {
        this.#tuning = undefined;
      });
    return this.#tuning;
  }

  async #measureWanted(submit: () => void): Promise<void> {
    const { device, info, sources } = this.#options;
    this.#bench ??= new Bench({ device, info, sources, submit });
    for (const [name, wanted] of this.#wanted) {
      this.#wanted.delete(name);
      await this.#measure(wanted, this.#bench);
    }
    await this.#save();
  }

  /** Checks the class's variants and times those that are right. The fixed table's stays when it is not clearly slower. */
  async #measure({ kernel, args, number, name }: Wanted, bench: Bench): Promise<void> {
    const family = this.#families[kernel] as Family<KernelName>;
    const first = family.variants(args, this.#facts)[0];
    const trials = family.trials(args, limits[this.#facts.software ? "software" : "hardware"]);
    let right: readonly Variant<KernelName>[] = this.#variants(kernel, args);
    let winner = first;
    try {
      for (const [i, trial] of trials.entries())
        await bench.withTrial(trial, async (call) => {
          right = await this.#rightOf(right, { kernel, call, bench });
          if (i < trials.length - 1 || right.length === 0) return;
          const timings = right.length > 1 ? await bench.time(right, call, kernel) : [];
          winner = right[fastest(timings, { challenged: right[0] === first })];
        });
    } catch (error) {
      // No room, or a device that fails: whoever uses it next is told by the backend itself.
      this.#tell(`${name}: not measured, taking ${first.name}: ${messageOf(error)}`);
      return;
    }
    this.#choices.set(name, winner.name);
    this.#generation++;
    this.#known.get(kernel)!.set(number, winner === first ? null : winner.plan);
  }

  /** Those that run on the trial, and compute what they should. */
  async #rightOf(
    variants: readonly Variant<KernelName>[],
    { kernel, call, bench }: { kernel: KernelName; call: TrialCall<KernelName>; bench: Bench },
  ): Promise<Variant<KernelName>[]> {
    const right: Variant<KernelName>[] = [];
    for (const variant of variants) {
      try {
        await bench.check(variant, call, kernel);
        right.push(variant);
      } catch (error) {
        if (error instanceof OutOfMemoryError || error instanceof DeviceLostError) throw error;
        this.#drop(variant, { kernel, error });
      }
    }
    return right;
  }

  /** Whatever was chosen for it is measured again without it. */
  #drop({ name }: Variant<KernelName>, { kernel, error }: { kernel: KernelName; error: unknown }): void {
    const why = error instanceof WrongVariantError ? "computes something else" : "does not run";
    this.#tell(`${kernel} by ${name} is not used: it ${why} here`, messageOf(error));
    this.#dropped.add(`${kernel} ${name}`);
    this.#known.get(kernel)!.clear();
    this.#generation++;
    for (const [of, chosen] of this.#choices)
      if (chosen === name && of.startsWith(`${kernel} `)) this.#choices.delete(of);
  }

  /** The fixed table's first, whatever is known of it. */
  #variants<K extends KernelName>(kernel: K, args: KernelArgs[K]): readonly [Variant<K>, ...Variant<K>[]] {
    const [first, ...others] = (this.#families[kernel] as Family<K>).variants(args, this.#facts);
    return [first, ...others.filter(({ name }) => !this.#dropped.has(`${kernel} ${name}`))];
  }

  /** @param details vary from class to class, and are told with the first */
  #tell(line: string, details?: string): void {
    if (this.#told.has(line)) return;
    this.#told.add(line);
    this.#options.tell(details === undefined ? line : `${line} (${details.split("\n")[0]})`);
  }

  async #load(): Promise<void> {
    const { store } = this.#options;
    try {
      const table = await store?.load();
      if (table?.adapter === this.#adapter && table.shaders === this.#hash) this.#take(table, store!.place);
    } catch (error) {
      this.#tell(`${store?.place} is ignored: ${messageOf(error)}`);
    }
  }

  #take({ adapter, shaders, choices }: TuningTable, from: string): void {
    if (shaders !== this.#hash || adapter !== this.#adapter)
      this.#tell(
        `${from} was measured ${shaders === this.#hash ? `on ${adapter}` : "with other shaders"}; its choices are taken all the same`,
      );
    for (const [name, variant] of Object.entries(choices)) this.#choices.set(name, variant);
  }

  /** Beside what another process has found meanwhile. */
  async #save(): Promise<void> {
    const { store } = this.#options;
    if (!store) return;
    const kept = await store.load().catch(() => undefined);
    const fresh = kept?.adapter === this.#adapter && kept.shaders === this.#hash ? kept.choices : {};
    const usable = Object.entries(fresh).filter(([of, chosen]) => !this.#dropped.has(`${of.split(" ")[0]} ${chosen}`));
    const { table } = this;
    try {
      await store.save({ ...table, choices: { ...Object.fromEntries(usable), ...table.choices } });
    } catch (error) {
      this.#tell(`choices of kernels are not kept: ${store.place}: ${messageOf(error)}`);
    }
  }
}

/** The index of the fastest; of the first where none is clearly faster. challenged: it takes less to beat a first that is nobody's choice. */
function fastest(timings: readonly Timing[], { challenged }: { challenged: boolean }): number {
  let best = 0;
  for (const [i, { medianMs, leastMs }] of timings.entries()) {
    const margin = best === 0 && challenged ? worthwhile : 1;
    // The fastest round too: a median of few may be another program's doing.
    if (medianMs < margin * timings[best].medianMs && leastMs < timings[best].leastMs) best = i;
  }
  return best;
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
