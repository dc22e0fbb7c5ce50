// The film of a product: its controls, what the frame shows, the matrices and the mesh.

import type { VNode } from "preact";
import { Select } from "../kit/fields.tsx";
import { HoldingsTable } from "./holdings.tsx";
import { Matrices, PointedBlock } from "./matrices.tsx";
import { MeshPicture } from "./mesh.tsx";
import { goTo, play, playing } from "./player.ts";
import type { Multiplied } from "./problem.ts";
import { sceneOf } from "./scene.ts";
import { frame, lastStep, shown, state } from "./state.ts";
import { frameText, frameTitle } from "./words.ts";

function onKeyDown(event: KeyboardEvent): void {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  // A button's, a slider's or a list's own keys are theirs.
  const { target } = event;
  if (target instanceof HTMLElement && target.closest("button, input, select, summary, table")) return;
  const keys: Record<string, () => void> = {
    " ": play,
    ArrowRight: () => goTo(shown.value + 1, { moving: true }),
    ArrowLeft: () => goTo(shown.value - 1),
    Home: () => goTo(0),
    End: () => goTo(lastStep.value),
  };
  const act = keys[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

export function Film({ run }: { run: Multiplied }): VNode {
  const { form } = run.problem;
  const scene = sceneOf(run);
  const about = { form, shape: run.shape };
  const text = frame.value ? frameText(frame.value, about) : "";
  const title = frame.value ? frameTitle(frame.value, about) : "";
  return (
    <section class="panel film" aria-label="The product, step by step" onKeyDown={onKeyDown}>
      <Controls title={title} />
      <div class="heads">
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: the film's keys need a place where they are nobody else's */}
        <section class="caption" tabIndex={0} aria-label="This step; space plays, arrow keys step">
          <h2>{title}</h2>
          <p aria-live={playing.value ? "off" : "polite"}>{text}</p>
        </section>
        <PointedBlock scene={scene} />
      </div>
      <div class="stage">
        <Matrices scene={scene} />
        <MeshPicture scene={scene} about={`${run.shape.size} ranks. ${text}`} />
      </div>
      <p class="legend small quiet">
        In each rank: above, its own blocks of A, B and C, C filling as its terms come; below, what it multiplies now.
        Arrows are messages that real ranks sent in this page.
        {run.shape.layout === "1d" && " The line of ranks is drawn back and forth."}
      </p>
      <details>
        <summary>What each rank holds, as a table</summary>
        <HoldingsTable scene={scene} />
      </details>
    </section>
  );
}

function Controls({ title }: { title: string }): VNode {
  const last = lastStep.value;
  return (
    <div class="controls">
      <button type="button" class="primary" onClick={play} aria-keyshortcuts="Space">
        {playing.value ? "Pause" : "Play"}
      </button>
      <button type="button" onClick={() => goTo(shown.value - 1)} disabled={shown.value === 0}>
        <span aria-hidden="true">←</span> Back
      </button>
      <button type="button" onClick={() => goTo(shown.value + 1, { moving: true })} disabled={shown.value >= last}>
        Step <span aria-hidden="true">→</span>
      </button>
      <div class="field scrub">
        <label for="scrub">
          Step{" "}
          <output for="scrub">
            {shown.value} of {last}
          </output>
        </label>
        <input
          id="scrub"
          type="range"
          min={0}
          max={last}
          value={shown.value}
          aria-valuetext={`${shown.value} of ${last}: ${title}`}
          onInput={({ currentTarget }) => goTo(currentTarget.valueAsNumber)}
        />
      </div>
      <Select
        label="Speed"
        value={state.speed}
        options={[
          { value: "0.5", text: "Half" },
          { value: "1", text: "Normal" },
          { value: "2", text: "Double" },
          { value: "4", text: "Four times" },
        ]}
      />
    </div>
  );
}
