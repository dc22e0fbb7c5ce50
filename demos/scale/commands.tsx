// The same in a terminal.

import { useSignal } from "@preact/signals";
import type { VNode } from "preact";
import { isChanged, machineFile, planCommand, simulateCommand } from "./question.ts";
import { chosen, comparison } from "./state.ts";

function Command({ name, text }: { name: string; text: string }): VNode {
  const told = useSignal("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      told.value = "Copied";
    } catch {
      told.value = "This browser does not let the page copy: select the text";
    }
  };
  return (
    <div class="command">
      <pre>{text}</pre>
      <button type="button" disabled={comparison.stale.value} onClick={copy} aria-label={`Copy: ${name}`}>
        Copy
      </button>
      <span class="small quiet" role="status">
        {told.value}
      </span>
    </div>
  );
}

function save(text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = machineFile;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

export function Commands(): VNode | null {
  const [known, mesh] = [comparison.value.value, chosen.value];
  if (!known || !mesh) return null;
  const { datasheet, measured, estimate } = known.machine.origins;
  return (
    <section class={`panel ${comparison.stale.value ? "stale" : ""}`} aria-labelledby="commands-title">
      <h2 id="commands-title">The same in a terminal</h2>
      {isChanged(known.question) && (
        <p>
          The commands read these devices from a file:{" "}
          <button type="button" disabled={comparison.stale.value} onClick={() => save(known.machine.file)}>
            Save {machineFile}
          </button>
        </p>
      )}
      <Command name="simulate" text={simulateCommand(known.question, mesh)} />
      <Command name="plan" text={planCommand(known.question)} />
      <h2>How far to trust it</h2>
      <p>
        What ranks compute, send and hold is what training does: its own code ran here, on shapes alone. Times are a
        model's: a kernel takes the longer of its arithmetic and its memory traffic, a device sends one message at a
        time and receives one. Of this machine's numbers {datasheet} are from datasheets, {measured} measured and{" "}
        {estimate} estimates: ask which layout is faster and why, not for milliseconds.
      </p>
    </section>
  );
}
