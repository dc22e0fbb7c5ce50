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
const [narrowest, wideEnough, widestCell] = [72, 120, 190];
/** What a window shows beside the controls. */
const tallest = 780;

export function placesOf({ layout, size, q, d }: MeshShape, width: number): Places {
  const line = layout === "1d";
  const planes = line ? 1 : d;
  const { inRow, planesInRow } = arrangement({ line, size, q, planes }, width);
  const head = planes > 1 ? planeHead : 0;
  const { cellWidth, tile, cellHeight } = cellOf({ inRow, planesInRow }, width);
  const rows = line ? Math.ceil(size / inRow) : q;
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
    const row = Math.floor(within / inRow);
    const along = within % inRow;
    // A line goes back and forth, so that neighbours stay neighbours.
    const column = line && row % 2 === 1 ? inRow - 1 - along : along;
    return {
      x: x + column * (cellWidth + gap),
      y: y + head + row * (cellHeight + gap),
    };
  };
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
    planes: planes > 1 ? Array.from({ length: d }, (_, k) => ({ text: `Plane ${k}`, at: planeAt(k) })) : [],
  };
}

/** Ranks side by side in a plane, or in a stretch of the line, and planes side by side. */
interface Arrangement {
  inRow: number;
  planesInRow: number;
}

/** The one with the largest cells that is not too tall to be seen at once; where all are, the one with the smallest that can be read. */
function arrangement(
  { line, size, q, planes }: { line: boolean; size: number; q: number; planes: number },
  width: number,
): Arrangement {
  const upTo = (count: number) => Array.from({ length: count }, (_, at) => at + 1);
  const all: Arrangement[] = line
    ? upTo(size).map((inRow) => ({ inRow, planesInRow: 1 }))
    : upTo(planes).map((planesInRow) => ({ inRow: q, planesInRow }));
  const heightOf = (way: Arrangement) => {
    const rows = line ? Math.ceil(size / way.inRow) : q;
    const head = planes > 1 ? planeHead : 0;
    return Math.ceil(planes / way.planesInRow) * (head + rows * (cellOf(way, width).cellHeight + gap) + planeGap);
  };
  const cells = (way: Arrangement) => Math.min(wideEnough, cellOf(way, width).cellWidth);
  const legible = all
    .filter((way) => cells(way) >= narrowest)
    .sort((one, other) => cells(other) - cells(one) || heightOf(one) - heightOf(other));
  return legible.find((way) => heightOf(way) <= tallest) ?? legible.at(-1) ?? all[0];
}

function cellOf({ inRow, planesInRow }: Arrangement, width: number) {
  const plane = (width - (planesInRow - 1) * planeGap) / planesInRow;
  const cellWidth = Math.floor(Math.min(widestCell, (plane - (inRow - 1) * gap) / inRow));
  const tile = Math.floor((cellWidth - 2 * inset - 2 * 4) / 3);
  return { cellWidth, tile, cellHeight: headHeight + 2 * tile + 4 + 2 * inset - 3 };
}
