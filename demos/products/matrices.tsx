// biome-ignore-all lint/a11y/useSemanticElements: a table cannot be laid out in proportion
// The three matrices, cut into blocks that can be pointed at, by mouse or by arrow keys.

import { useSignal } from "@preact/signals";
import type { VNode } from "preact";
import { useRef } from "preact/hooks";
import { count } from "../kit/format.ts";
import {
  type BlockedMatrix,
  type BlockName,
  blockText,
  indexText,
  nameOf,
  operandsInOrder,
  sameBlock,
} from "./blocks.ts";
import type { Scene } from "./scene.ts";
import { frame, holdings, pointed } from "./state.ts";
import { blockWords } from "./words.ts";

/** The shortest side of a matrix and the least of a block that has its name in it, of the longest side: page.css's --longest. */
const shortest = 0.16;
const [namedHeight, namedWidth] = [0.11, 0.16];
/** A matrix of few rows is drawn higher than it is, up to this, so that the names of its blocks can be read. */
const mostStretched = 0.5;
/** Blocks along a side whose edges would be all that is seen. */
const manyBlocks = 24;

/** Fingers do not point. */
const touched = matchMedia("(hover: none)").matches;

const sideOf = (extent: number, options: { longest: number; named: number }): number =>
  Math.max(shortest, extent / options.longest, Math.min(mostStretched, options.named));

export function Matrices({ scene }: { scene: Scene }): VNode {
  const { matrices } = scene;
  // With padding: small sizes on many ranks are mostly that.
  const longest = Math.max(
    ...operandsInOrder
      .map((operand) => matrices[operand])
      .flatMap(({ blockRows, height, blockCols, width }) => [blockRows * height, blockCols * width]),
  );
  return (
    <div class="matrices">
      {operandsInOrder.map((operand) => (
        <Matrix key={operand} matrix={matrices[operand]} scene={scene} longest={longest} />
      ))}
    </div>
  );
}

function Matrix({ matrix, scene, longest }: { matrix: BlockedMatrix; scene: Scene; longest: number }): VNode {
  const { operand, extents, blockRows, blockCols, height, width } = matrix;
  const grid = useRef<HTMLDivElement>(null);
  const current = useSignal({ row: 0, col: 0 });
  // Another product may have fewer blocks.
  const at = { row: Math.min(current.value.row, blockRows - 1), col: Math.min(current.value.col, blockCols - 1) };
  const go = (row: number, col: number) => {
    current.value = { row: Math.max(0, Math.min(blockRows - 1, row)), col: Math.max(0, Math.min(blockCols - 1, col)) };
    const cell = grid.current?.querySelector<HTMLElement>(`[data-block="${current.value.row} ${current.value.col}"]`);
    cell?.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const moves: Record<string, [number, number]> = {
      ArrowUp: [at.row - 1, at.col],
      ArrowDown: [at.row + 1, at.col],
      ArrowLeft: [at.row, at.col - 1],
      ArrowRight: [at.row, at.col + 1],
      Home: [at.row, 0],
      End: [at.row, blockCols - 1],
      PageUp: [0, at.col],
      PageDown: [blockRows - 1, at.col],
    };
    const to = moves[event.key];
    if (!to) return;
    event.preventDefault();
    // The film's own keys are the same.
    event.stopPropagation();
    go(...to);
  };
  const wide = sideOf(blockCols * width, { longest, named: blockCols * namedWidth });
  const high = sideOf(blockRows * height, { longest, named: blockRows * namedHeight });
  const named = wide / blockCols >= namedWidth && high / blockRows >= namedHeight;
  const style = {
    width: `calc(var(--longest) * ${wide.toFixed(3)})`,
    height: `calc(var(--longest) * ${high.toFixed(3)})`,
    gridTemplateColumns: `repeat(${blockCols}, minmax(0, 1fr))`,
    gridTemplateRows: `repeat(${blockRows}, minmax(0, 1fr))`,
  };
  const name = operand.toUpperCase();
  return (
    <div class={`matrix ${operand}`}>
      <h3 id={`matrix-${operand}`}>
        {name}{" "}
        <span class="quiet small">
          {count(extents[0])} × {count(extents[1])}
        </span>
      </h3>
      <div
        role="grid"
        aria-labelledby={`matrix-${operand}`}
        class={`blocks ${Math.max(blockRows, blockCols) > manyBlocks ? "fine" : ""}`}
        style={style}
        ref={grid}
        onKeyDown={onKeyDown}
      >
        {Array.from({ length: blockRows }, (_, row) => (
          // biome-ignore lint/a11y/useFocusableInteractive: one of its cells has the focus
          <div role="row" class="line" key={row}>
            {Array.from({ length: blockCols }, (_, col) => (
              <Cell
                key={`${row} ${col}`}
                {...{ scene, matrix, block: { operand, row, col } }}
                named={named}
                reached={row === at.row && col === at.col}
                onFocus={() => (current.value = { row, col })}
              />
            ))}
          </div>
        ))}
      </div>
    </div>
  );
}

function Cell(props: {
  scene: Scene;
  matrix: BlockedMatrix;
  block: BlockName;
  named: boolean;
  reached: boolean;
  onFocus: () => void;
}): VNode {
  const { scene, matrix, block, named, reached, onFocus } = props;
  const { watched } = scene;
  const { operand } = block;
  const moving = frame.value?.messages.some(
    (message) =>
      message.operand === operand && sameBlock(block, nameOf(operand, watched[message.owner].blocks[operand])),
  );
  const isPointed = sameBlock(pointed.value, block);
  return (
    <div
      role="gridcell"
      class={`block ${moving ? "moving" : ""}`}
      data-block={`${block.row} ${block.col}`}
      tabIndex={reached ? 0 : -1}
      aria-label={`${blockText(block, matrix)}${moving ? ", moving" : ""}`}
      aria-selected={isPointed}
      onPointerEnter={() => (pointed.value = block)}
      onFocus={() => {
        onFocus();
        pointed.value = block;
      }}
    >
      {operand === "c" && <Share scene={scene} block={block} />}
      {named && <span>{indexText(block, matrix)}</span>}
    </div>
  );
}

/** How much of a block of C is there: the least of those that will have it. */
function Share({ scene, block }: { scene: Scene; block: BlockName }): VNode | null {
  const now = holdings.value?.now;
  if (now?.length !== scene.watched.length) return null;
  const shares = now.filter((_, rank) => sameBlock(block, nameOf("c", scene.watched[rank].blocks.c)));
  const share = Math.min(...shares.map((holding) => holding.share));
  return <i class="share" style={{ height: `${(100 * share).toFixed(1)}%` }} />;
}

/** What is pointed at, in words. */
export function PointedBlock({ scene }: { scene: Scene }): VNode {
  const block = pointed.value;
  const matrix = block && scene.matrices[block.operand];
  const known = block && matrix && block.row < matrix.blockRows && block.col < matrix.blockCols;
  const words = known ? blockWords(block, { matrix, watched: scene.watched, shape: scene.shape }) : undefined;
  return (
    <div class="pointed-words" role="status" aria-live="polite">
      {words ? (
        <>
          <p>
            <strong>{words.what}</strong>
          </p>
          <p>
            {words.where} {words.goes}
          </p>
        </>
      ) : (
        <p class="quiet">
          {touched ? "Tap a block" : "Point at a block, or reach it with Tab and the arrow keys"}: what it is, where it
          lives, where it goes.
        </p>
      )}
    </div>
  );
}
