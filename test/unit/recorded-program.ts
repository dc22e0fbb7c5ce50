// What ranks of one group do, written down as a program for the simulator's clock.

import * as assert from "uvu/assert";
import { ProcessGroup } from "../../src/comm/process-group.ts";
import { assemble } from "../../src/plan/assemble.ts";
import type { StepProgram } from "../../src/plan/program.ts";
import { Recorder, Works } from "../../src/plan/recorder.ts";
import type { Machine } from "../../src/plan/replay.ts";
import { constant, type Tensor } from "../../src/tensor/tensor.ts";

/** of every message */
export const [alpha, beta] = [1 / 64, 1 / 4096];

/** Seconds of a message of that many f32. */
export const message = (elements: number) => alpha + 4 * elements * beta;

export async function recorded(
  size: number,
  program: (group: ProcessGroup, tensor: (length: number) => Tensor) => Promise<unknown>,
): Promise<StepProgram> {
  const works = new Works();
  const records = [];
  for (let rank = 0; rank < size; rank++) {
    const recorder = new Recorder({ rank, size, works });
    const ranks = Array.from({ length: size }, (_, i) => i);
    const group = new ProcessGroup({ name: "all", ranks, link: recorder });
    const { backend } = recorder;
    recorder.begin();
    await program(group, (length) => constant(backend, { shape: [length], purpose: "scratch" }));
    records.push(recorder.end());
  }
  return assemble(records, works);
}

/** One rank a device, kernels take `kernel` seconds each. */
export const machine = (
  { ranks }: StepProgram,
  { kernel = 0, ...more }: Partial<Machine> & { kernel?: number } = {},
): Machine => ({
  devices: ranks,
  sharedLinks: 0,
  localSeconds: 0,
  hostKernelSeconds: 0,
  hostMessageSeconds: 0,
  deviceOf: Array.from({ length: ranks }, (_, rank) => rank),
  kernelSeconds: () => kernel,
  route: () => ({ alpha, bytesPerSecond: 1 / beta, shared: [] }),
  overlap: true,
  ...more,
});

export const near = (got: number, wanted: number, what: string) =>
  assert.ok(Math.abs(got - wanted) <= 1e-12 * wanted, `${what}: ${got}, not ${wanted}`);
