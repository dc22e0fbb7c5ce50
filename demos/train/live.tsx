// The run under way: its buttons, its figures, its curve and what the model writes.

import type { VNode } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Figures, fieldsUnmended, Notice, PowerSlider, Slider } from "../kit/fields.tsx";
import { bytes, count, seconds } from "../kit/format.ts";
import { Plot } from "../kit/plot.tsx";
import { end, goOn, pause, start, writeSample } from "./actions.ts";
import type { Finished } from "./news.ts";
import {
  busy,
  canWriteAfter,
  curve,
  figures,
  finished,
  looking,
  narrow,
  outlook,
  phase,
  prompt,
  rateFactor,
  samples,
  settings,
  started,
  temperature,
  writing,
  writingNow,
} from "./state.ts";

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
  const misfit = fieldsUnmended.value || (outlook.value !== undefined && "wrong" in outlook.value);
  const impossible = misfit || outlook.value === undefined || writingNow.value;
  return (
    <div class="row buttons">
      {now === "idle" ? (
        <button type="button" class="primary" disabled={impossible} onClick={() => void start()}>
          {started.value && !looking.value ? "Train again" : "Train"}
        </button>
      ) : (
        <>
          <button
            type="button"
            class="primary"
            disabled={now === "starting" || now === "ending" || (writingNow.value && now !== "running")}
            onClick={now === "running" ? pause : goOn}
          >
            {now === "paused" || now === "pausing" ? "Go on" : "Pause"}
          </button>
          <button type="button" disabled={now === "starting" || now === "ending"} onClick={end}>
            End here
          </button>
        </>
      )}
      <span role="status">{now === "idle" ? idleText(misfit) : phaseTexts[now]}</span>
    </div>
  );
}

function idleText(misfit: boolean): string {
  if (misfit) return "The settings do not fit each other: see there.";
  return finished.value ? finishedText(finished.value) : "";
}

function finishedText({ steps, early, durationMs, validationLoss }: Finished): string {
  const resumedAt = started.value?.resumedAt ?? 0;
  const what = early ? `Ended at step ${count(steps)}` : `Done: ${count(steps)} ${steps === 1 ? "step" : "steps"}`;
  const since = resumedAt > 0 ? `, the last ${count(steps - resumedAt)}` : "";
  // A run that was ended evaluates some batches; one that is through, everything.
  const of = early ? "on some of its text" : "on all of its text";
  return `${what}${since} in ${seconds(durationMs / 1000)}, validation loss ${lossText(validationLoss, 4)} ${of}`;
}

/** A run's figures; their places are there from its beginning. */
export function Numbers(): VNode {
  const run = started.value;
  const { of } = curve.value;
  const { last, lastEval, stepMs } = of;
  const top = useRef<HTMLDivElement>(null);
  const running = busy.value;
  useEffect(() => {
    // In one column settings and text would otherwise stand where the run is looked for.
    if (running && narrow.peek()) top.current!.scrollIntoView({ block: "start" });
  }, [running]);
  const step = last?.[0] ?? run?.resumedAt ?? 0;
  const steps = run?.steps ?? settings.steps.value;
  const left = steps - step;
  return (
    <>
      <div class="field step" ref={top}>
        <label for="progress">
          Step <strong>{count(step)}</strong> of {count(steps)}
        </label>
        <progress id="progress" max={steps} value={step} />
      </div>
      <Figures
        items={[
          ["Loss, last batch", last ? lossText(last[1], 4) : "–"],
          ["Validation loss, some batches", lastEval ? lossText(lastEval[2], 4) : "–"],
          ["Tokens per second", run && stepMs ? count((1000 * run.tokensPerStep) / stepMs) : "–"],
          ["Step time", stepMs ? seconds(stepMs / 1000) : "–"],
          ["Time left, steps alone", stepMs && busy.value ? seconds((left * stepMs) / 1000) : "–"],
          ["Learning rate", last ? last[2].toExponential(2) : "–"],
          ["Parameters", run ? count(run.parameterCount) : "–"],
          [
            "Held between steps, all ranks",
            figures.value ? bytes(figures.value.memory.reduce((sum, { total }) => sum + total, 0)) : "–",
          ],
        ]}
      />
      <p class="small quiet">
        {run ? `${run.note}${run.dtypeNote ? `; ${run.dtypeNote}` : ""}` : "Preparing the device and the ranks."}
      </p>
    </>
  );
}

const factorText = (factor: number): string => (factor >= 1 ? `× ${factor}` : `÷ ${1 / factor}`);

export const Rate = (): VNode => (
  <div class="rate">
    <PowerSlider
      label="Learning rate, times the schedule's"
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
        y={{ label: "loss", text: (value) => lossText(value, 2) }}
        height={320}
      />
    </section>
  );
}
/** One that runs away has more digits than room. */
const lossText = (value: number, digits: number): string =>
  Math.abs(value) < 1e4 ? value.toFixed(digits) : value.toExponential(1);

export function Samples(): VNode {
  const newest = samples.value.toReversed();
  const now = writing.value;
  return (
    <section class="panel samples" aria-labelledby="samples">
      <div class="row between">
        <h2 id="samples">What it writes</h2>
        <button
          type="button"
          disabled={writingNow.value || !(phase.value === "running" || phase.value === "paused" || canWriteAfter.value)}
          onClick={() => void writeSample(sampleTokens)}
        >
          {writingNow.value ? "Writing…" : "Write now"}
        </button>
      </div>
      <div class="wanted">
        <div class="field">
          <label for="prompt">Begins with</label>
          <input
            id="prompt"
            value={prompt.value}
            maxLength={1000}
            onInput={({ currentTarget }) => (prompt.value = currentTarget.value)}
          />
        </div>
        <Slider
          label="Temperature"
          value={temperature}
          from={0}
          to={2}
          step={0.1}
          text={(value) => (value === 0 ? "0, the likeliest alone" : value.toFixed(1))}
        />
      </div>
      {now && (
        <figure>
          <figcaption class="small quiet">writing…</figcaption>
          <pre>{now}</pre>
        </figure>
      )}
      {newest.length + now.length === 0 && <p class="quiet">The first sample comes after the first step.</p>}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard */}
      <ol class="written" tabIndex={0} aria-label="Samples, the newest first">
        {newest.map(({ step, text, temperature: own }, index) => (
          <li key={newest.length - index}>
            <p class="small quiet">
              after step {count(step)}
              {own !== undefined && `, at temperature ${own.toFixed(1)}`}
            </p>
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
