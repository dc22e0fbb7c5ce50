// The simulator, in a thread of the page's own: answers the newest question of each kind, and keeps what it has recorded.

import { expose } from "comlink";
import {
  countOrigins,
  layoutNames,
  type MeshShape,
  type NetworkLevel,
  type PlanChoice,
  type PlanRefusal,
  parameterCount,
  searchPlan,
  shapesOf,
} from "shardgrad/plan";
import { type Crossover, crossover } from "./crossover.ts";
import type { Figures } from "./figures.ts";
import { configOf, machines, parametersOf, profileOf, whyIllegal } from "./problem.ts";
import type { Question } from "./question.ts";
import { type Growth, type ScalePoint, scaling } from "./scaling.ts";
import { Steps } from "./steps.ts";
import { type SweepPoint, sweep } from "./sweep.ts";
import { type StepTrace, traceStep } from "./trace.ts";
import { Lane, Turns } from "./turns.ts";

/** A mesh of so many devices, and its step or why there is none. */
export interface MeshAnswer {
  readonly layout: MeshShape["layout"];
  readonly dims: readonly number[];
  readonly figures?: Figures;
  readonly why?: string;
}

export interface Machine {
  readonly about: string;
  readonly memoryBytes: number;
  readonly levels: readonly { name: string; devices?: number; latencySeconds: number; bytesPerSecond: number }[];
  /** how many of its numbers are from where */
  readonly origins: { datasheet: number; measured: number; estimate: number };
  /** a file for --profile */
  readonly file: string;
}

export interface Comparison {
  readonly question: Question;
  readonly parameters: number;
  readonly machine: Machine;
  readonly meshes: readonly MeshAnswer[];
}

export interface Planned {
  readonly choices: readonly PlanChoice[];
  readonly refused: readonly PlanRefusal[];
}

const steps = new Steps();
const curves = new Lane();
const turns = {
  ...{ compare: new Turns(), trace: new Turns(), plan: new Turns() },
  ...{ crossover: new Turns(curves), sweep: new Turns(curves), scaling: new Turns(curves) },
};

const modelOf = (question: Question) => ({ config: configOf(question), parameters: parametersOf(question) });

/** What passes through a link that devices share is slower than their ports. */
const slowest = (level: NetworkLevel): number =>
  Math.min(
    ...[level.bytesPerSecond, level.uplinkBytesPerSecond, level.downlinkBytesPerSecond, level.mediumBytesPerSecond].map(
      (rate) => rate?.value ?? Number.POSITIVE_INFINITY,
    ),
  );

function machineOf(question: Question): Machine {
  const profile = profileOf(question);
  return {
    about: profile.description,
    memoryBytes: profile.device.memoryBytes.value,
    levels: profile.network.map((level) => ({
      ...{ name: level.name, devices: level.devices },
      ...{ latencySeconds: level.latencySeconds.value, bytesPerSecond: slowest(level) },
    })),
    origins: countOrigins(profile),
    file: JSON.stringify(profile, undefined, 2),
  };
}

const meshName = ({ layout, dims }: Pick<MeshShape, "layout" | "dims">): string => `${layout} ${dims.join("x")}`;

const scaleWorker = {
  machines,

  machine: async (question: Question): Promise<Machine> => machineOf(question),

  /** Every mesh of the devices. tell: what it is at, when that takes a while */
  compare(question: Question, tell: (what: string) => void): Promise<Comparison | undefined> {
    return turns.compare.answer(async (stillWanted) => {
      const { config, parameters } = modelOf(question);
      const profile = profileOf(question);
      const meshes: MeshAnswer[] = [];
      const order = (name: MeshShape["layout"]) => layoutNames.indexOf(name);
      const shapes = shapesOf(question.devices).sort((a, b) => order(a.layout) - order(b.layout));
      for (const shape of shapes) {
        const { layout, dims } = shape;
        const why = whyIllegal(shape, { config, ...parameters });
        const told = (done: number, all: number) => {
          if (done % 16 === 0) tell(`${meshName(shape)}: rank ${done} of ${all}`);
        };
        if (why !== undefined) meshes.push({ layout, dims, why });
        else {
          const step = { shape, config, parameters };
          meshes.push({ layout, dims, figures: await steps.figures(step, { profile, stillWanted, tell: told }) });
        }
      }
      return { question, parameters: parameterCount(config), machine: machineOf(question), meshes };
    });
  },

  crossover(question: Question): Promise<Crossover | undefined> {
    return turns.crossover.answer((stillWanted) =>
      crossover(
        { ...modelOf(question), devices: question.devices },
        { steps, profile: profileOf(question), stillWanted },
      ),
    );
  },

  scaling(question: Question, growth: Growth, tell: (devices: number) => void): Promise<ScalePoint[] | undefined> {
    return turns.scaling.answer((stillWanted) =>
      scaling(
        { ...modelOf(question), devices: question.devices, growth },
        { steps, profile: profileOf(question), stillWanted, tell },
      ),
    );
  },

  sweep(question: Question): Promise<SweepPoint[] | undefined> {
    return turns.sweep.answer((stillWanted) => sweep(question, { step: modelOf(question), steps, stillWanted }));
  },

  trace(question: Question, mesh: Pick<MeshShape, "layout" | "dims">): Promise<StepTrace | undefined> {
    return turns.trace.answer(async (stillWanted) => {
      const shape = shapesOf(question.devices).find((each) => meshName(each) === meshName(mesh));
      if (!shape) return undefined;
      return await traceStep({ shape, ...modelOf(question) }, { profile: profileOf(question), stillWanted });
    });
  },

  plan(question: Question, tell: (what: string) => void): Promise<Planned | undefined> {
    return turns.plan.answer(async (stillWanted) => {
      const { config, parameters } = modelOf({ ...question, accumulate: 1 });
      const { batch, devices } = question;
      const profile = profileOf(question);
      const memoryBytes = profile.device.memoryBytes.value;
      let last = "";
      return await searchPlan({ config, parameters, batches: [batch], devices, memoryBytes, profile }, (what) => {
        if (what !== last) tell(what);
        last = what;
        const wanted = stillWanted();
        // Not everyone who tells of progress waits for it.
        wanted.catch(() => undefined);
        return wanted;
      });
    });
  },

  /** Ends a search whose answer nobody waits for. */
  async dropPlan(): Promise<void> {
    await turns.plan.answer(async () => undefined);
  },
};

export type ScaleWorker = typeof scaleWorker;

expose(scaleWorker);
