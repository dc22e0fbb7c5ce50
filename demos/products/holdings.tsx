// What the picture of the mesh shows, as a table.

import type { VNode } from "preact";
import { percent } from "../kit/format.ts";
import { Scrolling } from "../kit/scrolling.tsx";
import { blockText, nameOf, type Operand, operandsInOrder } from "./blocks.ts";
import type { Scene } from "./scene.ts";
import { holdings } from "./state.ts";
import { rankText } from "./words.ts";

/** At the end of the frame, rank by rank. */
export function HoldingsTable({ scene }: { scene: Scene }): VNode | null {
  const both = holdings.value;
  if (!both || both.now.length !== scene.watched.length) return null;
  const text = (operand: Operand, owners: readonly number[]) =>
    owners.length > 3
      ? `${owners.length} blocks of ${operand.toUpperCase()}`
      : owners
          .map((owner) => nameOf(operand, scene.watched[owner].blocks[operand]))
          .map((block) => blockText(block, scene.matrices[operand]))
          .join(", ");
  return (
    <Scrolling label="What each rank holds, a table" kind="tall">
      <table>
        <thead>
          <tr>
            <th scope="col">Rank</th>
            <th scope="col">Its own</th>
            <th scope="col">At work</th>
            <th scope="col">Of its C</th>
          </tr>
        </thead>
        <tbody>
          {both.now.map((holding, rank) => (
            <tr key={rank}>
              <td>{rankText(rank, scene.shape)}</td>
              <td>{operandsInOrder.map((operand) => text(operand, [rank])).join(" ")}</td>
              <td>{[text("a", holding.a), text("b", holding.b)].filter(Boolean).join(" ") || "–"}</td>
              <td>{percent(holding.share)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scrolling>
  );
}
