// The mesh: every rank with what it holds, and blocks on their way between ranks.

import { computed, signal } from "@preact/signals";
import type { VNode } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { ProductMessage } from "shardgrad/parallel";
import { type BlockName, indexText, nameOf, type Operand, operandsInOrder, sameBlock } from "./blocks.ts";
import type { Holding } from "./frames.ts";
import { type Places, type Point, placesOf } from "./places.ts";
import type { Scene } from "./scene.ts";
import { frame, holdings, pointed, progress } from "./state.ts";

/** Until blocks have come, ranks hold what they held before. */
const arrived = computed(() => progress.value >= 1);
const width = signal(0);

export function MeshPicture({ scene, about }: { scene: Scene; about: string }): VNode {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const watch = new ResizeObserver(([{ contentRect }]) => (width.value = Math.floor(contentRect.width)));
    watch.observe(place.current!);
    return () => watch.disconnect();
  }, []);
  const places = width.value > 0 ? placesOf(scene.shape, width.value) : undefined;
  return (
    <div class="mesh" ref={place}>
      {places && (
        <svg role="img" aria-label={about} width={places.width} height={places.height}>
          <Arrowheads />
          {places.planes.map(({ text, at }) => (
            <text key={text} class="plane" x={at.x} y={at.y + 14}>
              {text}
            </text>
          ))}
          {scene.shape.layout === "1d" && <LineOfRanks scene={scene} places={places} />}
          <Cells scene={scene} places={places} />
          <Trails scene={scene} places={places} />
          <Ranks scene={scene} places={places} />
          <Movers scene={scene} places={places} />
        </svg>
      )}
    </div>
  );
}

const Arrowheads = (): VNode => (
  <defs>
    {operandsInOrder.map((operand) => (
      <marker
        key={operand}
        id={`arrow-${operand}`}
        class={`arrow ${operand}`}
        viewBox="0 0 8 8"
        refX="7"
        refY="4"
        markerWidth="7"
        markerHeight="7"
        orient="auto"
      >
        <path d="M0 0L8 4L0 8z" />
      </marker>
    ))}
  </defs>
);

interface Drawn {
  scene: Scene;
  places: Places;
}

/** From each rank to the next, seen between cells: the line turns at the end of a row. */
function LineOfRanks({ scene, places }: Drawn): VNode {
  const { width, height } = places.cell;
  const centres = scene.watched.map((_, rank) => {
    const { x, y } = places.ofRank(rank);
    return `${x + width / 2} ${y + height / 2}`;
  });
  return <path class="line-of-ranks" d={`M${centres.join("L")}`} />;
}

/** What lies beneath: trails pass over it, and under blocks. */
function Cells({ scene, places }: Drawn): VNode {
  const multiplying = frame.value?.kind === "multiply";
  return (
    <>
      {scene.watched.map((_, rank) => {
        const { x, y } = places.ofRank(rank);
        return (
          <g key={rank} class={multiplying ? "multiplying" : ""}>
            <rect class="cell" x={x} y={y} width={places.cell.width} height={places.cell.height} rx="6" />
          </g>
        );
      })}
    </>
  );
}

function Ranks({ scene, places }: Drawn): VNode | null {
  const both = holdings.value;
  if (!both || both.now.length !== scene.watched.length) return null;
  const held = arrived.value ? both.now : both.before;
  const multiplying = frame.value?.kind === "multiply";
  return (
    <>
      {held.map((holding, rank) => {
        const { x, y } = places.ofRank(rank);
        return (
          <g key={rank} class="rank">
            <text class="number" x={x + 7} y={y + 15}>
              {rank}
            </text>
            {multiplying && (
              <text class="times" x={x + places.cell.width - 7} y={y + 15}>
                ×
              </text>
            )}
            <Contents rank={rank} holding={holding} scene={scene} places={places} />
          </g>
        );
      })}
    </>
  );
}

function Contents(props: Drawn & { rank: number; holding: Holding }): VNode {
  const { rank, holding, scene, places } = props;
  const { watched } = scene;
  const own = (operand: Operand) => nameOf(operand, watched[rank].blocks[operand]);
  return (
    <>
      {operandsInOrder.map((operand) => (
        <Tile
          key={operand}
          {...{ scene, places, block: own(operand), at: places.ofTile(rank, operand, "rest") }}
          fill={operand === "c" ? holding.share : undefined}
          kind={operand === "c" && !holding.whole ? "open" : "rest"}
        />
      ))}
      {(["a", "b"] as const).map((operand) => {
        const owners = holding[operand];
        if (owners.length === 0) return null;
        const block = nameOf(operand, watched[owners[0]].blocks[operand]);
        const text = owners.length > 1 ? `${owners.length}/${watched.length}` : undefined;
        return (
          <Tile
            key={`work ${operand}`}
            {...{ scene, places, block, text, kind: "work", at: places.ofTile(rank, operand, "work") }}
          />
        );
      })}
      {holding.term !== undefined && (
        <Tile
          {...{ scene, places, kind: "work", at: places.ofTile(rank, "c", "work") }}
          block={nameOf("c", watched[holding.term === "all" ? rank : holding.term].blocks.c)}
          text={holding.term === "all" ? "all" : undefined}
        />
      )}
    </>
  );
}

/** A block. fill: the share of its terms that are in it; text: in place of its indices, where it is many blocks */
function Tile(
  props: Drawn & {
    block: BlockName;
    at: Point;
    kind: "rest" | "work" | "open" | "moving";
    fill?: number;
    text?: string;
  },
): VNode {
  const { scene, places, block, at, kind, fill, text } = props;
  const { tile } = places;
  const { operand } = block;
  const label = text ?? indexText(block, scene.matrices[operand]);
  const middle = at.x + tile / 2;
  const large = tile >= 30;
  // Two lines where both can be read, the letter where it can; what is pointed at is told in words all the same.
  const lines = tile >= 22 ? 2 : tile >= 10 ? 1 : 0;
  return (
    <g
      class={`tile ${operand} ${kind} ${text === undefined && sameBlock(pointed.value, block) ? "pointed" : ""}`}
      onPointerEnter={() => (pointed.value = block)}
    >
      <rect x={at.x} y={at.y} width={tile} height={tile} rx="3" />
      {fill !== undefined && fill > 0 && (
        <rect class="fill" x={at.x} y={at.y + tile * (1 - fill)} width={tile} height={tile * fill} rx="3" />
      )}
      {lines === 1 && (
        <text class="letter" x={middle} y={at.y + tile / 2 + 4} font-size={11}>
          {operand.toUpperCase()}
        </text>
      )}
      {lines === 2 && (
        <>
          <text class="letter" x={middle} y={at.y + tile / 2 - (large ? 2 : 1)} font-size={large ? 12 : 9.5}>
            {operand.toUpperCase()}
          </text>
          <text x={middle} y={at.y + tile / 2 + (large ? 12 : 8.5)} font-size={large ? 11 : label.length > 3 ? 7.5 : 9}>
            {label}
          </text>
        </>
      )}
    </g>
  );
}

/** A way from edge to edge, so that names of blocks can be read beneath it. */
function trailOf(message: ProductMessage, places: Places): string {
  const { from, over, to } = way(message, places);
  const inset = (end: Point, by: number): Point => {
    const [dx, dy] = [over.x - end.x, over.y - end.y];
    const share = Math.min(1, by / Math.hypot(dx, dy));
    return { x: end.x + share * dx, y: end.y + share * dy };
  };
  const [start, end] = [inset(from, places.tile / 2), inset(to, places.tile / 2)];
  return `M${start.x} ${start.y}Q${over.x} ${over.y} ${end.x} ${end.y}`;
}

/** From where to where a message is drawn, and the middle of its bow. */
function way(message: ProductMessage, places: Places): { from: Point; over: Point; to: Point } {
  const { operand, owner } = message;
  const sum = operand === "c";
  const ends = message.op === "allReduce";
  const half = places.tile / 2;
  const centre = ({ x, y }: Point): Point => ({ x: x + half, y: y + half });
  const from = centre(places.ofTile(message.from, operand, ends || (!sum && owner === message.from) ? "rest" : "work"));
  const to = centre(places.ofTile(message.to, operand, sum && (ends || owner === message.to) ? "rest" : "work"));
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  // To the left of the way, so that an exchange is two bows.
  const bow = Math.min(0.18, 30 / Math.hypot(dx, dy));
  return { from, to, over: { x: (from.x + to.x) / 2 + dy * bow, y: (from.y + to.y) / 2 - dx * bow } };
}

/** So many trails hide each other: each is drawn lighter. */
const manyTrails = 48;

function Trails({ scene, places }: Drawn): VNode | null {
  const now = frame.value;
  const many = now !== undefined && now.messages.length >= manyTrails;
  if (!now || now.messages.some(({ to, from }) => Math.max(to, from) >= scene.watched.length)) return null;
  return (
    <>
      {now.messages.map((message) => {
        const { operand } = message;
        return (
          <path
            key={keyOf(message)}
            class={`trail ${operand} ${many ? "many" : ""} ${isPointed(message, scene) ? "pointed" : ""}`}
            d={trailOf(message, places)}
            marker-end={`url(#arrow-${operand})`}
          />
        );
      })}
    </>
  );
}

function Movers({ scene, places }: Drawn): VNode | null {
  const now = frame.value;
  const at = progress.value;
  if (!now || at >= 1 || now.messages.some(({ to, from }) => Math.max(to, from) >= scene.watched.length)) return null;
  const t = at * at * (3 - 2 * at);
  const half = places.tile / 2;
  return (
    <g class="movers">
      {now.messages.map((message) => {
        const { from, over, to } = way(message, places);
        const along = (a: number, b: number, c: number) => (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t ** 2 * c;
        const x = along(from.x, over.x, to.x) - half;
        const y = along(from.y, over.y, to.y) - half;
        return (
          <g key={keyOf(message)} transform={`translate(${x.toFixed(1)} ${y.toFixed(1)})`}>
            <Tile {...{ scene, places, block: carried(message, scene), kind: "moving", at: origin }} />
          </g>
        );
      })}
    </g>
  );
}

const origin: Point = { x: 0, y: 0 };

const keyOf = ({ from, to, operand }: ProductMessage): string => `${from} ${to} ${operand}`;
const carried = ({ operand, owner }: ProductMessage, { watched }: Scene): BlockName =>
  nameOf(operand, watched[owner].blocks[operand]);
const isPointed = (message: ProductMessage, scene: Scene): boolean => sameBlock(pointed.value, carried(message, scene));
