// What `shardgrad plan` would take, with the fewest micro-batches that fit, and what the others lose against it.

import type { VNode } from "preact";
import { bytes, seconds } from "../kit/format.ts";
import { titleOf } from "./meshes.tsx";
import { Panel } from "./panel.tsx";
import { askPlan, comparison, planned, soonPlanned, take } from "./state.ts";
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
      {!best && <p>Nothing is possible, or nothing fits:</p>}
      <ol class="choices-found" aria-label="What plan found, the fastest first">
        {choices.map((choice) => (
          <li key={titleOf(choice.shape) + ways(choice)}>
            <div>
              <b>{titleOf(choice.shape)}</b> <span class="quiet">{ways(choice)}</span>
            </div>
            <span class="numbers">
              <b>{seconds(choice.seconds)}</b>, {bytes(choice.memoryBytes)}
            </span>
            <p class="small">{choice.why ?? "The fastest that fits."}</p>
            <button
              type="button"
              aria-label={`Show ${titleOf(choice.shape)} ${ways(choice)}`}
              onClick={() => take(choice)}
            >
              Show
            </button>
          </li>
        ))}
      </ol>
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

export function PlanTable(): VNode {
  const known = comparison.value.value;
  const { value, busy, wrong } = planned;
  const found = value.value;
  const idle = busy.value === undefined && wrong.value === undefined;
  return (
    <Panel title="What plan would pick" answer={planned}>
      <p class="quiet small">
        Each layout with the fewest micro-batches that fit, with and without recomputation; the best looked at whole.
      </p>
      {found && <Choices {...found} />}
      {!found && known && idle && known.question.devices > soonPlanned && (
        <>
          <p>
            A search over {known.question.devices} devices simulates hundreds of thousands of kernels: some ten seconds.
          </p>
          <button type="button" onClick={() => void askPlan(known.question)}>
            Search {known.question.devices} devices
          </button>
        </>
      )}
    </Panel>
  );
}
