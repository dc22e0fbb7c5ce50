// What `shardgrad plan` would take, with the fewest micro-batches that fit, and what the others lose against it.

import type { VNode } from "preact";
import { Notice } from "../kit/fields.tsx";
import { bytes, seconds } from "../kit/format.ts";
import { titleOf } from "./meshes.tsx";
import type { Question } from "./question.ts";
import { Scrolling } from "./scrolling.tsx";
import { askPlan, comparison, planned } from "./state.ts";
import type { Planned } from "./worker.ts";

type PlanChoice = Planned["choices"][number];

const ways = ({ accumulate, batch, recompute }: PlanChoice): string => {
  const micro = accumulate === 1 ? "" : `${accumulate} micro-batches of ${batch / accumulate}`;
  return [micro, recompute ? "recomputed" : ""].filter((text) => text !== "").join(", ");
};

function Choices({ choices, refused }: Planned): VNode {
  const best = choices.at(0);
  return (
    <>
      {best ? (
        <Scrolling label="What plan found">
          <table>
            <thead>
              <tr>
                <th scope="col">mesh</th>
                <th scope="col">step</th>
                <th scope="col">memory</th>
                <th scope="col" class="why">
                  against the best
                </th>
              </tr>
            </thead>
            <tbody>
              {choices.map((choice) => (
                <tr key={titleOf(choice.shape) + ways(choice)} class={choice === best ? "best" : ""}>
                  <th scope="row">
                    {titleOf(choice.shape)}
                    {ways(choice) !== "" && <span class="quiet small block">{ways(choice)}</span>}
                  </th>
                  <td>{seconds(choice.seconds)}</td>
                  <td>{bytes(choice.memoryBytes)}</td>
                  <td class="why">{choice.why ?? "taken"}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scrolling>
      ) : (
        <p>Nothing is possible, or nothing fits:</p>
      )}
      {refused.length > 0 && (
        <ul class="refused small">
          {refused.map(({ shape, why, leastBytes }) => (
            <li key={titleOf(shape)}>
              <b>{titleOf(shape)}</b>:{" "}
              {leastBytes === undefined ? why : `does not fit; it takes at least ${bytes(leastBytes)} a device`}
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

const same = (a: Question, b: Question): boolean => JSON.stringify(a) === JSON.stringify(b);

export function PlanTable(): VNode {
  const known = comparison.value.value;
  const { value, busy, wrong } = planned;
  const current = value.value && known && same(value.value.question, known.question) ? value.value : undefined;
  return (
    <section class="panel" aria-labelledby="plan-title">
      <h2 id="plan-title">What plan would pick</h2>
      <p class="quiet small">
        Each layout with the fewest micro-batches that fit, with and without recomputation; the best looked at whole.
      </p>
      <p aria-live="polite" class="small">
        {busy.value !== undefined && `Looking at ${busy.value}…`}
      </p>
      {wrong.value !== undefined && <Notice title="No plan">{wrong.value}</Notice>}
      {current && <Choices {...current} />}
      {!current && known && busy.value === undefined && wrong.value === undefined && (
        <button type="button" onClick={() => void askPlan(known.question)}>
          Search {known.question.devices} devices
        </button>
      )}
    </section>
  );
}
