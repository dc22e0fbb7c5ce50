// The Products page's worker: real ranks multiply here, and races are simulated.

import { expose } from "comlink";
import { createBackend, DeviceLostError } from "shardgrad";
import { lowerBound, measureProduct, meshShape, replicationWords, score, shapesOf } from "shardgrad/parallel";
import type { Kernel, Multiplied, Named, Problem, Profiles, Race, RaceProblem, Racer } from "./problem.ts";

/** Opened when it is first asked for; without tuning, since products as small as these gain nothing by it. */
const opened = new Map<Problem["backend"], ReturnType<typeof createBackend>>();

async function device(backend: Problem["backend"]) {
  const opening = opened.get(backend) ?? createBackend({ backend, tune: false });
  opened.set(backend, opening);
  try {
    return await opening;
  } catch (error) {
    opened.delete(backend);
    throw error;
  }
}

/** Far more than the largest product that the page offers takes. */
const maxBytes = 2 ** 30;

const engine = {
  /** @throws UserError for what does not fit the device */
  async multiply(problem: Problem): Promise<Multiplied> {
    const { backend, note } = await device(problem.backend);
    const { dims, form, size } = problem;
    const shape = meshShape({ dims });
    const run = { shape, form, size, repeats: 3, seed: 1, maxBytes, watch: true };
    try {
      return { problem, shape, note, result: await measureProduct({ backend }, run) };
    } catch (error) {
      // What is asked for next gets another device.
      if (error instanceof DeviceLostError) opened.delete(problem.backend);
      throw error;
    }
  },

  /** The WGSL that multiplied on each rank; where the processor did, what a GPU would take. */
  async kernel({ problem, result }: Multiplied): Promise<Kernel> {
    const { productKernel } = await import("shardgrad/plan");
    const { adapter, name } = (await device(problem.backend)).backend;
    const ran = name === "webgpu";
    // All ranks' products are of one size, padding included.
    const [size] = result.watched?.[0].products ?? [problem.size];
    return { ...(await productKernel({ form: problem.form, size, ...(ran && { adapter }) })), size, ran };
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
    return { devices, networks: networkNames };
  },
};

export type ProductsEngine = typeof engine;

expose(engine);
