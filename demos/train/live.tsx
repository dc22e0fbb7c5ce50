// The run under way: its buttons, its figures, its curve and what the model writes.

import type { VNode } from "preact";
import { Figures, fieldsUnmended, Notice, PowerSlider } from "../kit/fields.tsx";
import { bytes, count, seconds } from "../kit/format.ts";
import { Plot } from "../kit/plot.tsx";
import { end, goOn, pause, start, writeSample } from "./actions.ts";
import { busy, curve, figures, finished, outlook, phase, rateFactor, samples, started, writing } from "./state.ts";

/** What the learning rate may be multiplied by: 2^-6 to 2^6. */
const factorPowers = 6;
const sampleTokens = 160;

const phaseTexts: Record<typeof phase.value, string> = {
  idle: "",
  starting: "Starting…",
  running: "Training",
  pausing: "Pausing after this step…",
  paused: "Paused",
  ending: "Ending after this step…",
};

export function Buttons(): VNode {
  const now = phase.value;
  const impossible = fieldsUnmended.value || outlook.value === undefined || "wrong" in outlook.value;
  return (
    <div class="row buttons">
      {now === "idle" ? (
        <button type="button" class="primary" disabled={impossible} onClick={() => void start()}>
          {started.value ? "Train again" : "Train"}
        </button>
      ) : (
        <>
          <button
            type="button"
            class="primary"
            disabled={now === "starting" || now === "ending"}
            onClick={now === "running" ? pause : goOn}
          >
            {now === "paused" || now === "pausing" ? "Go on" : "Pause"}
          </button>
          <button type="button" disabled={now === "starting" || now === "ending"} onClick={end}>
            End here
          </button>
        </>
      )}
      <span role="status">{finished.value && now === "idle" ? finishedText() : phaseTexts[now]}</span>
    </div>
  );
}

function finishedText(): string {
  const { steps, early, durationMs, validationLoss } = finished.value!;
  return `${early ? "Ended at step" : "Done:"} ${count(steps)}${early ? "" : steps === 1 ? " step" : " steps"} in ${seconds(durationMs / 1000)}, validation loss ${validationLoss.toFixed(4)}`;
}

export function Numbers(): VNode | null {
  const run = started.value;
  const { of } = curve.value;
  const { last, lastEval, stepMs } = of;
  if (!run) return null;
  const step = last?.[0] ?? run.resumedAt;
  const left = run.steps - step;
  return (
    <>
      <div class="field">
        <label for="progress">
          Step <strong>{count(step)}</strong> of {count(run.steps)}
        </label>
        <progress id="progress" max={run.steps} value={step} />
      </div>
      <Figures
        items={[
          ["loss, last batch", last ? last[1].toFixed(4) : "–"],
          ["validation loss", lastEval ? `${lastEval[2].toFixed(4)}` : "–"],
          ["tokens a second", stepMs ? count((1000 * run.tokensPerStep) / stepMs) : "–"],
          ["step time", stepMs ? seconds(stepMs / 1000) : "–"],
          ["time left in steps", stepMs && busy.value ? seconds((left * stepMs) / 1000) : "–"],
          ["learning rate", last ? last[2].toExponential(2) : "–"],
          ["parameters", count(run.parameterCount)],
          [
            "held by all ranks",
            figures.value ? bytes(figures.value.memory.reduce((sum, { total }) => sum + total, 0)) : "–",
          ],
        ]}
      />
      <p class="small quiet">
        {run.note}
        {run.dtypeNote ? `; ${run.dtypeNote}` : ""}
      </p>
    </>
  );
}

const factorText = (factor: number): string => (factor >= 1 ? `× ${factor}` : `÷ ${1 / factor}`);

export const Rate = (): VNode => (
  <div class="rate">
    <PowerSlider
      label="Learning rate, of what the schedule says"
      value={rateFactor}
      from={-factorPowers}
      to={factorPowers}
      text={factorText}
    />
  </div>
);

export function Loss(): VNode {
  const { of } = curve.value;
  const { last, lastEval } = of;
  const about = last
    ? `Loss against steps: ${of.losses[0].toFixed(3)} at first, ${last[1].toFixed(3)} at step ${last[0]}${lastEval ? `, validation ${lastEval[2].toFixed(3)}` : ""}.`
    : "Loss against steps: none yet.";
  return (
    <section class="panel" aria-labelledby="loss">
      <h2 id="loss">Loss</h2>
      <p class="small quiet">
        Cross-entropy in nats a character: how surprised the model is by the next one. Guessing among all alike gives
        the value it begins at.
      </p>
      <Plot
        about={about}
        lines={[
          { label: "batch", series: 6, width: 1 },
          { label: "smoothed", series: 1, width: 2.5 },
          { label: "training text", series: 3, marks: "dots" },
          { label: "validation text", series: 2, marks: "both", dash: [6, 4] },
        ]}
        data={of.data}
        x={{ label: "step" }}
        y={{ label: "loss", text: lossText }}
        height={320}
      />
    </section>
  );
}
const lossText = (value: number): string => value.toFixed(2);

export function Samples(): VNode {
  const newest = samples.value.toReversed();
  const now = writing.value;
  return (
    <section class="panel samples" aria-labelledby="samples">
      <div class="row between">
        <h2 id="samples">What it writes</h2>
        <button type="button" disabled={phase.value !== "running"} onClick={() => writeSample(sampleTokens)}>
          Write now
        </button>
      </div>
      {now && (
        <figure>
          <figcaption class="small quiet">writing…</figcaption>
          <pre>{now}</pre>
        </figure>
      )}
      {newest.length + now.length === 0 && <p class="quiet">The first sample comes behind the first step.</p>}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard */}
      <ol class="written" tabIndex={0} aria-label="Samples, the newest first">
        {newest.map(({ step, text }, index) => (
          <li key={newest.length - index}>
            <p class="small quiet">after step {count(step)}</p>
            <pre>{text}</pre>
          </li>
        ))}
      </ol>
    </section>
  );
}

export const Nothing = (): VNode => (
  <Notice title="What you will see">
    Press Train: every rank holds its part of one model, and all of them learn your text together. The loss falls,
    samples turn from noise into something like the text, and below you see who sends how much to whom, what each rank
    holds, and what each does when.
  </Notice>
);
