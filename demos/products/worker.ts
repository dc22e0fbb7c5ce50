// The Products page's worker: real ranks multiply here, and races are simulated.

import { expose } from "comlink";
import { createBackend, DeviceLostError } from "shardgrad";
import { lowerBound, measureProduct, meshShape, replicationWords, score, shapesOf } from "shardgrad/parallel";
import type { Multiplied, Named, Problem, Profiles, Race, RaceProblem, Racer } from "./problem.ts";

/** Opened when it is first needed; without tuning, since products as small as these gain nothing by it. */
let opened: ReturnType<typeof createBackend> | undefined;

async function device() {
  opened ??= createBackend({ backend: "auto", tune: false });
  try {
    return await opened;
  } catch (error) {
    opened = undefined;
    throw error;
  }
}

/** Far more than the largest product that the page offers takes. */
const maxBytes = 2 ** 30;

const engine = {
  /** @throws UserError for what does not fit the device */
  async multiply(problem: Problem): Promise<Multiplied> {
    const { backend, note } = await device();
    const { dims, form, size } = problem;
    const shape = meshShape({ dims });
    const run = { shape, form, size, repeats: 3, seed: 1, maxBytes, watch: true };
    try {
      return { problem, shape, note, result: await measureProduct({ backend }, run) };
    } catch (error) {
      // What is asked for next gets another device.
      if (error instanceof DeviceLostError) opened = undefined;
      throw error;
    }
  },

  /** Every mesh of so many ranks, the same product on each. */
  async race(problem: RaceProblem): Promise<Race> {
    const { profileNamed, simulateProduct } = await import("shardgrad/plan");
    const { ranks, form, size } = problem;
    const profile = profileNamed(problem.profile, problem.network || undefined);
    const racers: Racer[] = [];
    for (const shape of shapesOf(ranks).filter(({ layout }) => layout !== "1d-sp")) {
      const simulated = await simulateProduct({ shape, form, size, profile });
      const copies = replicationWords({ mesh: shape, form, size });
      const words = Math.max(...simulated.wordsReceived) + copies;
      racers.push({ shape, simulated, replicationWords: copies, score: score({ words, size, ranks }) });
    }
    return { problem, about: profile.description, lowerBoundWords: lowerBound(size, ranks), racers };
  },

  /** Devices and networks that a race can be run on. */
  async profiles(): Promise<Profiles> {
    const { networkNames, profileNamed, profileNames } = await import("shardgrad/plan");
    // A description begins with the device, and goes on with its parts and with what is between it and others.
    const devices = profileNames.map((name): Named => {
      const [text] = profileNamed(name).description.split(/[:;]| through | \(/);
      return { name, text: text.charAt(0).toUpperCase() + text.slice(1) };
    });
    const ofDevice = (name: string) => devices.find((device) => device.name === name)?.text;
    const networks = networkNames.map((name) => ({ name, text: ofDevice(name) ?? name }));
    return { devices, networks };
  },
};

export type ProductsEngine = typeof engine;

expose(engine);
