// A mesh before anyone has come: what each of its devices will hold and receive.

import type { VNode } from "preact";
import { bytes } from "../kit/format.ts";
import type { Cost } from "./engine.ts";
import { planesOf } from "./planes.ts";

const share = (parts: number): string => (parts === 1 ? "all" : `1/${parts}`);

/** Of one rank: the weights, and the activations that a matrix product works on. */
function held({ layout, dims }: Cost): { weights: string; activations: string } {
  const ranks = dims.reduce((size, extent) => size * extent, 1);
  const [q] = dims;
  if (layout === "2d" || layout === "2.5d") return { weights: share(q * q), activations: share(ranks) };
  return { weights: share(ranks), activations: layout === "1d" ? "all" : share(ranks) };
}

/** In a sentence: which layout does what with a matrix. */
const aboutLayout: Record<string, string> = {
  serial: "One device holds everything.",
  "1d": "1D: each device holds columns of one weight and rows of the next, and all add up what they have (Megatron).",
  "2d": "2D: each device holds one block of every matrix, and passes it along its row and column (SUMMA).",
  "2.5d": "2.5D: two planes of 2 × 2, each with samples of its own and the same weights (SUMMA2.5-LM).",
};

export function MeshPreview({ cost }: { cost: Cost }): VNode {
  const { weights, activations } = held(cost);
  return (
    <>
      <p class="small">{aboutLayout[cost.layout]}</p>
      <div class="planes">
        {planesOf(cost.dims).map(({ depth, ranks, columns }) => (
          <ul
            key={depth}
            class={`seats preview over-${Math.min(columns, 4)}`}
            aria-label={depthLabel(cost.dims, depth)}
          >
            {ranks.map((rank) => (
              <li key={rank} class="seat open">
                <span class="small">
                  <strong>rank {rank}</strong>
                </span>
                <span class="small">
                  {weights} of the weights, {activations} of the activations
                </span>
                <span class="small">receives {bytes(cost.bytesReceived[rank])} a step</span>
              </li>
            ))}
          </ul>
        ))}
      </div>
    </>
  );
}

const depthLabel = (dims: readonly number[], depth: number): string =>
  dims.length === 3 ? `Ranks of depth ${depth}` : "Ranks";
