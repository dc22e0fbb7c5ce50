// A training run as a person follows it: a bar on a terminal, a line now and then elsewhere.

import cliProgress from "cli-progress";
import type { DoneEvent, StepEvent, TrainEvent } from "../train/events.ts";
import { bytesText, countText, durationText, type Output } from "./output.ts";

/** Time between two lines where there is no terminal. */
const lineEveryMs = 5000;

/** Part of the past that a step leaves in the throughput shown: about the last twenty steps count. */
const throughputMemory = 0.95;

/** {left}, not {eta}: cli-progress replaces the latter by seconds of its own, without a unit. */
const barFormat =
  "{bar} {value}/{total}  loss {loss}  val {validation}  {rate} tokens/s  {memory}{traffic}  ETA {left}";

/** Columns the rest of a bar's line takes, long runs included. */
const barWords = 76;

export class Progress {
  readonly #output: Output;
  readonly #steps: number;
  #bar: cliProgress.SingleBar | undefined;
  #validation = "-";
  #msPerStep: number | undefined;
  #lastLine = performance.now();

  constructor(output: Output, { steps }: { steps: number }) {
    this.#output = output;
    this.#steps = steps;
    if (!output.human.isTTY) return;
    const barsize = Math.min(30, Math.max(4, (output.human.columns || 80) - barWords));
    this.#bar = new cliProgress.SingleBar(
      { format: barFormat, stream: output.human, barsize, hideCursor: true, gracefulExit: false, linewrap: false },
      cliProgress.Presets.shades_classic,
    );
    this.#bar.start(steps, 0, { loss: "-", validation: "-", rate: "-", memory: "-", traffic: "", left: "-" });
  }

  show(event: TrainEvent): void {
    if (event.event === "eval") this.#validation = event.validationLoss.toFixed(3);
    if (event.event === "step") {
      const past = this.#msPerStep ?? event.durationMs;
      this.#msPerStep = throughputMemory * past + (1 - throughputMemory) * event.durationMs;
      const shown = {
        loss: event.loss.toFixed(3),
        validation: this.#validation,
        rate: countText((event.tokensPerSecond * event.durationMs) / this.#msPerStep),
        memory: bytesText(event.memoryBytes),
        traffic: trafficText(event),
        left: durationText((this.#steps - event.step) * this.#msPerStep),
      };
      this.#bar?.update(event.step, shown);
      const due = event.step === 1 || performance.now() - this.#lastLine >= lineEveryMs;
      if (!this.#bar && due) {
        this.#lastLine = performance.now();
        const { loss, rate, memory, traffic, left } = shown;
        this.#output.say(
          `step ${event.step}/${this.#steps}  loss ${loss}  ${rate} tokens/s  ${memory}${traffic}  ETA ${left}`,
        );
      }
    }
    if (event.event === "eval" && !this.#bar) {
      const { step, trainLoss } = event;
      this.#output.say(
        `step ${step}/${this.#steps}  train loss ${trainLoss.toFixed(4)}  validation loss ${this.#validation}`,
      );
    }
    if (event.event === "sample" || event.event === "done") this.stop();
  }

  /** Leaves the bar as it stands and gives the terminal back. */
  stop(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }
}

const most = (values: readonly number[]): number => Math.max(...values);

/** What a step sent, on a mesh: the most that a rank received, and whether the closed form says the same of every rank. */
function trafficText({ bytesReceived, closedFormBytes }: StepEvent): string {
  if (!bytesReceived || !closedFormBytes) return "";
  const equal = bytesReceived.every((bytes, rank) => bytes === closedFormBytes[rank]);
  return `  ${bytesText(most(bytesReceived))}/rank${equal ? "" : ` (closed form ${bytesText(most(closedFormBytes))})`}`;
}

/** The same for a whole run. */
export function trafficLine(steps: readonly StepEvent[]): string {
  for (const { step, bytesReceived = [], closedFormBytes = [] } of steps) {
    const rank = bytesReceived.findIndex((bytes, index) => bytes !== closedFormBytes[index]);
    if (rank >= 0)
      return `step ${step}: rank ${rank} received ${countText(bytesReceived[rank])} bytes, the closed form says ${countText(closedFormBytes[rank])}`;
  }
  const received = steps.at(-1)?.bytesReceived;
  if (!received) return "no step was taken";
  const [least, largest] = [Math.min(...received), most(received)];
  const range = least === largest ? countText(least) : `${countText(least)} to ${countText(largest)}`;
  return `each rank received ${range} bytes a step, as the closed form says, to the byte, at every step`;
}

/** What went over links beside tensors. */
export const framingLine = ({ elementBytes, overheadBytes }: NonNullable<DoneEvent["sent"]>): string =>
  `all ranks sent ${countText(elementBytes)} bytes of tensors, evaluations included, and ${countText(overheadBytes)} beside them: ${((100 * overheadBytes) / elementBytes).toFixed(2)}%`;
