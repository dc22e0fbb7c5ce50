// Layouts as lines of a picture: each with a colour and a dash of its own.

import type { Line } from "../kit/plot.tsx";
import type { Figures } from "./figures.ts";

export const layouts = ["1d", "1d-sp", "2d", "2.5d"] as const;
const labels = { "1d": "1D", "1d-sp": "1D, sequence", "2d": "2D", "2.5d": "2.5D" } as const;
const dashes = { "1d": [8, 3], "1d-sp": [2, 3], "2d": [12, 3, 2, 3], "2.5d": undefined } as const;

export const layoutLines: readonly Line[] = layouts.map((layout, i) => ({
  ...{ label: labels[layout], series: i + 1, marks: "both", dash: dashes[layout] },
}));

/** One rank is the beginning of every layout's line. */
export const ofLayout = (best: readonly Figures[], layout: (typeof layouts)[number]): Figures | undefined =>
  best.find((figures) => figures.layout === layout || figures.layout === "serial");
