// What a training run said, kept for its report.

import type { ModelConfig } from "../nn/config.ts";
import type { DoneEvent, EvalEvent, StartEvent, StepEvent, TrainEvent } from "../train/events.ts";

export interface TrainRecord {
  textName: string;
  textTokens: number;
  vocabSize: number;
  tokenizer: string;
  config: ModelConfig;
  /** why this backend */
  note: string;
  start?: StartEvent;
  steps: StepEvent[];
  evals: EvalEvent[];
  sample?: string;
  done?: DoneEvent;
  /** why the run failed, when it did */
  failure?: string;
}

export function remember(record: TrainRecord, event: TrainEvent): void {
  if (event.event === "start") record.start = event;
  else if (event.event === "step") record.steps.push(event);
  else if (event.event === "eval") record.evals.push(event);
  else if (event.event === "sample") record.sample = event.text;
  else if (event.event === "done") record.done = event;
}
