// What is trained how: mesh, model and run, and what that would be.

import type { VNode } from "preact";
import { Choice, ComputesOn, Figures, Notice, NumberField, Select } from "../kit/fields.tsx";
import { bytes, count } from "../kit/format.ts";
import { closeCheckpoint, openCheckpoint } from "./actions.ts";
import { bounds, type Settings } from "./settings.ts";
import { busy, device, narrow, openedCheckpoint, outlook, phone, settings } from "./state.ts";

const layoutTexts: Record<Settings["layout"], string> = {
  serial: "One rank",
  "1d": "1D",
  "1d-sp": "1D, sequence too",
  "2d": "2D",
  "2.5d": "2.5D",
};

/** What each layout does with a weight and the activations, in a sentence. */
const layoutSentences: Record<Settings["layout"], string> = {
  serial: "One rank holds everything; nothing is sent.",
  "1d": "Each rank holds columns of one weight and rows of the next; all hold the same activations (Megatron).",
  "1d-sp": "As 1D, and between the products each rank holds some of the tokens only.",
  "2d": "Rows and columns of ranks: each holds one block of every matrix, and broadcasts it along its row or column (SUMMA).",
  "2.5d": "Planes of 2D meshes: each holds the same blocks of the weights, and samples of its own.",
};

const Field = ({ name, label, step }: { name: keyof typeof bounds; label: string; step?: "any" }): VNode => (
  <NumberField
    label={label}
    value={settings[name]}
    {...bounds[name]}
    step={step}
    disabled={busy.value || isOfCheckpoint(name)}
  />
);

/** A model that goes on is as it is. */
const isOfCheckpoint = (name: keyof Settings): boolean =>
  openedCheckpoint.value !== undefined && ["layers", "heads", "width", "context"].includes(name);

function Mesh(): VNode {
  const layout = settings.layout.value;
  return (
    <>
      <Choice
        label="Layout"
        value={settings.layout}
        options={Object.entries(layoutTexts).map(([value, text]) => ({
          ...{ value: value as Settings["layout"], text, disabled: busy.value },
        }))}
      />
      <p class="small quiet">{layoutSentences[layout]}</p>
      {layout !== "serial" && (
        <div class="numbers">
          {(layout === "1d" || layout === "1d-sp") && <Field name="ranks" label="Ranks" />}
          {(layout === "2d" || layout === "2.5d") && <Field name="q" label="Rows and columns (q)" />}
          {layout === "2.5d" && <Field name="depth" label="Planes (d)" />}
        </div>
      )}
      <Choice
        label="Ranks run"
        value={settings.place}
        options={[
          { value: "process", text: "in one process", disabled: busy.value },
          { value: "workers", text: "each in a worker", disabled: busy.value },
        ]}
      />
    </>
  );
}

function OutlookPanel(): VNode | null {
  const now = outlook.value;
  if (now === undefined) return null;
  if ("wrong" in now)
    return (
      <Notice kind="bad" title="This does not fit">
        {now.wrong}
      </Notice>
    );
  return (
    <Figures
      items={[
        ["Parameters", count(now.parameterCount)],
        ["Ranks", count(now.ranks)],
        ["Peak memory per rank", bytes(now.memoryBytes)],
        ["Received per rank and step", now.bytesPerStep > 0 ? bytes(now.bytesPerStep) : "nothing"],
      ]}
    />
  );
}

function CheckpointFile(): VNode {
  const opened = openedCheckpoint.value;
  if (opened)
    return (
      <Notice title={`Goes on from step ${count(opened.step)}`}>
        <p class="small">{opened.name}: on any layout and mesh, with the text chosen here.</p>
        <button type="button" disabled={busy.value} onClick={closeCheckpoint}>
          Start anew instead
        </button>
      </Notice>
    );
  return (
    <label class="button file">
      Open a checkpoint…
      <input
        class="hidden"
        type="file"
        accept=".safetensors"
        disabled={busy.value}
        onChange={({ currentTarget }) => {
          const [file] = currentTarget.files ?? [];
          if (file) void openCheckpoint(file);
          currentTarget.value = "";
        }}
      />
    </label>
  );
}

export function Setup(): VNode {
  const { f16 = false, note } = device.value ?? {};
  return (
    // On a phone a run is what one wants to see: what it was asked for folds away.
    <details class="panel setup" open={!(phone || (narrow.value && busy.value))}>
      <summary>Settings</summary>
      <h2>Mesh</h2>
      <Mesh />
      <h2>Model</h2>
      <div class="numbers">
        <Field name="layers" label="Layers" />
        <Field name="heads" label="Heads" />
        <Field name="width" label="Width" />
        <Field name="context" label="Context, tokens" />
      </div>
      <h2>Run</h2>
      <div class="numbers">
        <Field name="batch" label="Batch, sequences" />
        <Field name="steps" label="Steps" />
        <Field name="rate" label="Learning rate" step="any" />
        <Field name="seed" label="Seed" />
        <Field name="sampleEvery" label="Sample every, steps" />
        {f16 && (
          <Select
            label="Stored as"
            value={settings.dtype}
            disabled={busy.value}
            options={[
              { value: "f32", text: "f32" },
              { value: "f16", text: "f16" },
            ]}
          />
        )}
        <ComputesOn value={settings.backend} disabled={busy.value} />
      </div>
      {note && settings.backend.value === "auto" && <p class="small quiet">{note}</p>}
      <OutlookPanel />
      <CheckpointFile />
    </details>
  );
}
