// Where ranks are drawn, and what they hold within: planes side by side where there is room, the ranks of a line wrapped. Pixels.

import type { MeshShape } from "shardgrad/parallel";
import type { Operand } from "./blocks.ts";

export interface Point {
  x: number;
  y: number;
}

/** of what lies in a rank: blocks at rest above, what it works with below */
export type Shelf = "rest" | "work";

export interface Places {
  width: number;
  height: number;
  cell: { width: number; height: number };
  /** edge of a block */
  tile: number;
  ofRank(rank: number): Point;
  /** upper left corner of a block */
  ofTile(rank: number, operand: Operand, shelf: Shelf): Point;
  /** names of planes, none where there is one */
  planes: { text: string; at: Point }[];
}

const gap = 6;
const inset = 7;
const headHeight = 17;
const planeGap = 26;
const planeHead = 24;
/** Narrower cells cannot be read, wider ones say no more. */
const [narrowest, widestCell] = [72, 190];

export function placesOf({ layout, size, q, d }: MeshShape, width: number): Places {
  const line = layout === "1d";
  const inRow = line ? Math.max(1, Math.min(size, Math.floor((width + gap) / (lineCell(size, width) + gap)))) : q;
  const planesInRow = line ? 1 : planesThatFit({ q, d }, width);
  const plane = (width - (planesInRow - 1) * planeGap) / planesInRow;
  const cellWidth = Math.floor(Math.min(widestCell, (plane - (inRow - 1) * gap) / inRow));
  const tile = Math.floor((cellWidth - 2 * inset - 2 * 4) / 3);
  const cellHeight = headHeight + 2 * tile + 4 + 2 * inset - 3;
  const rows = line ? Math.ceil(size / inRow) : q;
  const head = d > 1 && !line ? planeHead : 0;
  const planeSize = {
    width: inRow * (cellWidth + gap) - gap,
    height: head + rows * (cellHeight + gap) - gap,
  };
  const planeAt = (k: number): Point => ({
    x: (k % planesInRow) * (planeSize.width + planeGap),
    y: Math.floor(k / planesInRow) * (planeSize.height + planeGap),
  });
  const ofRank = (rank: number): Point => {
    const k = line ? 0 : Math.floor(rank / q ** 2);
    const within = line ? rank : rank % q ** 2;
    const { x, y } = planeAt(k);
    return {
      x: x + (within % inRow) * (cellWidth + gap),
      y: y + head + Math.floor(within / inRow) * (cellHeight + gap),
    };
  };
  const planes = line ? 1 : d;
  return {
    width: Math.min(planes, planesInRow) * (planeSize.width + planeGap) - planeGap,
    height: Math.ceil(planes / planesInRow) * (planeSize.height + planeGap) - planeGap,
    cell: { width: cellWidth, height: cellHeight },
    tile,
    ofRank,
    ofTile: (rank, operand, shelf) => {
      const { x, y } = ofRank(rank);
      const column = { a: 0, b: 1, c: 2 }[operand];
      return {
        x: x + inset + column * (tile + 4),
        y: y + headHeight + inset - 3 + (shelf === "work" ? tile + 4 : 0),
      };
    },
    planes: d > 1 && !line ? Array.from({ length: d }, (_, k) => ({ text: `Plane ${k}`, at: planeAt(k) })) : [],
  };
}

function planesThatFit({ q, d }: { q: number; d: number }, width: number): number {
  for (let count = d; count > 1; count--)
    if (d % count === 0 && ((width - (count - 1) * planeGap) / count - (q - 1) * gap) / q >= narrowest) return count;
  return 1;
}

/** Of many ranks smaller ones, so that more of them are seen at once. */
const lineCell = (size: number, width: number): number =>
  Math.max(narrowest, Math.min(size > 16 ? 84 : 112, (width - gap * (size - 1)) / size));
