// What the page asks its worker for, and what it gets: plain data. Types of the engine alone.

import type { Form, MeshShape, ProductResult, ProductSize } from "shardgrad/parallel";
import type { ProductKernel, SimulatedProduct } from "shardgrad/plan";
import type { BackendChoice } from "../kit/backends.ts";

export type Layout = "1d" | "2d" | "2.5d";

/** A product on a mesh. */
export interface Problem {
  backend: BackendChoice;
  dims: readonly number[];
  form: Form;
  size: ProductSize;
}

/** What came of it on real ranks, each message watched. */
export interface Multiplied {
  problem: Problem;
  shape: MeshShape;
  result: ProductResult;
  /** which backend was taken and why */
  note: string;
}

/** The kernel of a product, to be read. */
export interface Kernel extends ProductKernel {
  /** what each rank multiplies at once */
  size: ProductSize;
  /** whether it ran here, or would on a GPU */
  ran: boolean;
}

export interface RaceProblem {
  ranks: number;
  form: Form;
  size: ProductSize;
  profile: string;
  /** of another profile; the profile's own when empty */
  network: string;
}

/** One layout of a race. */
export interface Racer {
  shape: MeshShape;
  simulated: SimulatedProduct;
  /** of copies that the product takes as given */
  replicationWords: number;
  score: number | undefined;
}

export interface Race {
  problem: RaceProblem;
  /** what the devices are, and what is between them */
  about: string;
  lowerBoundWords: number;
  racers: Racer[];
}

/** A profile of the package, and what its device is called. */
export interface Named {
  name: string;
  text: string;
}

/** What a race can be run on. */
export interface Profiles {
  devices: Named[];
  networks: readonly string[];
}

/** Ranks at a glance: more of them are too small to be read. */
export const mostRanks = 64;
/** Of a product that is computed here, and checked in f64 by every rank. */
export const largestExtent = 512;

/** "2.5D 2x2x2" */
export const meshText = ({ layout, dims }: Pick<MeshShape, "layout" | "dims">): string =>
  `${layout.toUpperCase()} ${dims.join("×")}`;
