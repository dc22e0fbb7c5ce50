// The picture of the first page: 2 x 2 x 2 ranks, and what travels along each of the mesh's axes.

import type { VNode } from "preact";

const [q, d] = [2, 2];
type Point = readonly [x: number, y: number];

/** Where a place of the mesh is in the picture: planes lie above one another, seen from the front and above. */
const at = (row: number, column: number, depth: number): Point => [
  150 + column * 150 - row * 78,
  64 + row * 62 + depth * 190,
];

const polygon = (corners: readonly Point[]): string => corners.map(([x, y]) => `${x},${y}`).join(" ");

/** A rank's tile, around its place. */
const tile = ([x, y]: Point): string =>
  polygon([
    [x - 26, y - 24],
    [x + 94, y - 24],
    [x + 30, y + 26],
    [x - 90, y + 26],
  ]);

const centre = ([x, y]: Point): Point => [x + 2, y + 1];

const ranks = Array.from({ length: q * q * d }, (_, rank) => ({
  rank,
  depth: Math.floor(rank / (q * q)),
  row: Math.floor(rank / q) % q,
  column: rank % q,
}));

const paths = [
  ...ranks
    .filter(({ column }) => column === 0)
    .map(({ row, depth }) => ({ kind: "rows", from: at(row, 0, depth), to: at(row, 1, depth) })),
  ...ranks
    .filter(({ row }) => row === 0)
    .map(({ column, depth }) => ({ kind: "columns", from: at(0, column, depth), to: at(1, column, depth) })),
  ...ranks
    .filter(({ depth }) => depth === 0)
    .map(({ row, column }) => ({ kind: "depth", from: at(row, column, 0), to: at(row, column, 1) })),
];

export function MeshPicture(): VNode {
  return (
    <figure class="mesh">
      <svg
        viewBox="-24 30 426 322"
        role="img"
        aria-label="Eight ranks in two planes of two rows and two columns. Blocks of activations travel along rows, blocks of weights along columns, gradients between the planes."
      >
        {ranks.toReversed().map(({ rank, row, column, depth }) => {
          const [x, y] = centre(at(row, column, depth));
          return (
            <g key={rank} class={`plane-${depth}`}>
              <polygon class="tile" points={tile(at(row, column, depth))} />
              <text x={x} y={y + 5}>
                {rank}
              </text>
            </g>
          );
        })}
        {paths.map(({ kind, from, to }) => {
          const [[x1, y1], [x2, y2]] = [centre(from), centre(to)];
          const [dx, dy] = [x2 - x1, y2 - y1];
          const long = Math.hypot(dx, dy);
          // The line leaves room for the ranks' numbers.
          const [ux, uy] = [(dx / long) * 16, (dy / long) * 16];
          return (
            <g key={`${kind} ${x1} ${y1}`} class={kind}>
              <line x1={x1 + ux} y1={y1 + uy} x2={x2 - ux} y2={y2 - uy} />
              <rect
                class="block"
                x={x1 + ux - 5}
                y={y1 + uy - 5}
                width="10"
                height="10"
                rx="2"
                style={{ "--dx": `${dx - 2 * ux}px`, "--dy": `${dy - 2 * uy}px` }}
              />
            </g>
          );
        })}
      </svg>
      <figcaption>
        <span class="key rows">rows: activations</span>
        <span class="key columns">columns: weights</span>
        <span class="key depth">between planes: gradients</span>
      </figcaption>
    </figure>
  );
}
