// The run as it goes: loss, speed, bytes beside the closed form, and what the model writes at the end.

import type { VNode } from "preact";
import { Figures, Notice } from "../kit/fields.tsx";
import { bytes, count, seconds } from "../kit/format.ts";
import { type Line, Plot } from "../kit/plot.tsx";
import { Scrolling } from "../kit/scrolling.tsx";
import type { RunView, StepRow } from "./run-view.ts";
import type { Session } from "./session.ts";

const lossText = (value: number): string => value.toFixed(4);
const lines: readonly Line[] = [
  { label: "training", series: 1, text: lossText },
  { label: "validation", series: 2, marks: "both", dash: [6, 4], text: lossText },
];

export function RunPanel({ view, session }: { view: RunView; session: Session }): VNode {
  const { last, note, ended, done, validationLoss, sample, plot, rank, names } = view;
  const steps = session.cost.value?.steps ?? 0;
  const { step = 0, loss, tokensPerSecond, durationMs } = last.value ?? {};
  const left = ((steps - step) * (durationMs ?? 0)) / 1000;
  const stopped = ended.value !== undefined;
  return (
    <section class="panel" aria-labelledby="run">
      <h2 id="run">{names.length === 1 ? "The run" : `The run, as rank ${rank} of ${names.length}`}</h2>
      {ended.value !== undefined && (
        <Notice kind="warn" title="Ended early">
          {ended.value}
          {session.phase.value === "waiting" && " It begins again, from the start, as soon as enough have agreed."}
        </Notice>
      )}
      <div class="field">
        <label for="progress">{note.value || progressText({ step, steps, done: done.value, stopped })}</label>
        <progress id="progress" max={Math.max(steps, 1)} value={step} />
      </div>
      {last.value && (
        <>
          <Figures
            items={[
              ["Loss", loss === undefined ? "…" : lossText(loss)],
              ["Validation loss", validationLoss.value === undefined ? "…" : lossText(validationLoss.value)],
              ["Tokens a second", count(tokensPerSecond ?? 0)],
              ["A step", seconds((durationMs ?? 0) / 1000)],
              ["Still to go", done.value ? "nothing" : stopped ? "–" : left === 0 ? "a sample" : seconds(left)],
              ["Received, a step", bytes(last.value.received)],
            ]}
          />
          <ExactLine view={view} row={last.value} />
          <Plot
            about={`Loss by step: ${lossText(loss ?? 0)} at step ${step}.`}
            lines={lines}
            data={plot.value}
            x={{ label: "step", text: (value) => (Number.isInteger(value) ? count(value) : "") }}
            y={{ label: "nats a character", text: (value) => value.toFixed(2) }}
            height={240}
          />
          <Steps view={view} />
        </>
      )}
      {sample.value !== "" && (
        <>
          <h3>What it writes</h3>
          <pre class="sample">{sample.value}</pre>
        </>
      )}
    </section>
  );
}

function progressText(run: { step: number; steps: number; done: boolean; stopped: boolean }): string {
  const { step, steps, done, stopped } = run;
  const at = `${count(step)} of ${count(steps)}`;
  if (done) return "Done";
  if (stopped) return step === 0 ? "Ended before its first step" : `Ended at step ${at}`;
  if (step === 0) return "Beginning…";
  return step < steps ? `Step ${at}` : "All steps are done: the model writes a sample, stay a little longer";
}

/** This device's bytes beside the closed form. */
function ExactLine({ view, row }: { view: RunView; row: StepRow }): VNode {
  if (view.names.length === 1) return <p class="small quiet">One device alone receives nothing.</p>;
  return view.exact.value ? (
    <p class="good">
      ✓ This device received {count(row.received)} bytes, as the closed form says, to the byte, at every step so far.
    </p>
  ) : (
    <p class="wrong">
      ✗ This device received {count(row.received)} bytes; the closed form says {count(row.closedForm)}.
    </p>
  );
}

function Steps({ view }: { view: RunView }): VNode {
  return (
    <details>
      <summary>The last steps in numbers</summary>
      <Scrolling label="The last steps">
        <table class="steps">
          <thead>
            <tr>
              <th scope="col">step</th>
              <th scope="col">loss</th>
              <th scope="col">time</th>
              <th scope="col">received</th>
              <th scope="col">closed form</th>
            </tr>
          </thead>
          <tbody>
            {view.rows.value.map(({ step, loss, durationMs, received, closedForm }) => (
              <tr key={step}>
                <th scope="row">{count(step)}</th>
                <td>
                  <data value={String(loss)}>{lossText(loss)}</data>
                </td>
                <td>{seconds(durationMs / 1000)}</td>
                <td>{count(received)}</td>
                <td>{count(closedForm)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scrolling>
    </details>
  );
}
