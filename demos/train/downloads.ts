// Files of a run: a checkpoint, a trace for viewers, a report.

import { wordsOf } from "../kit/engine.ts";
import { remote } from "./actions.ts";
import { failed, lastStep, timeline } from "./state.ts";

/** Has the browser put a file into its folder of downloads. */
function download(file: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  // The browser has the file by its next turn.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

async function offer(name: (step: number) => string, make: () => Promise<{ step: number; file: Blob }>): Promise<void> {
  try {
    const { step, file } = await make();
    download(file, name(step));
  } catch (error) {
    failed.value = { title: "There is nothing to download", text: wordsOf(error) };
  }
}
export const downloadCheckpoint = (): Promise<void> =>
  offer(
    (step) => `shardgrad-step-${step}.safetensors`,
    () => remote().checkpointFile(),
  );
export const downloadTrace = (): Promise<void> =>
  offer(
    () => `shardgrad-trace-steps-${timeline.value?.from}-${timeline.value?.to}.json`,
    async () => ({ step: lastStep(), file: await remote().traceFile() }),
  );
export const downloadReport = (): Promise<void> =>
  offer(
    (step) => `shardgrad-report-step-${step}.html`,
    async () => ({ step: lastStep(), file: await remote().reportFile() }),
  );
