// Where a text comes from: pasted, picked, or this project's own sources.

import { useSignal } from "@preact/signals";
import type { ComponentChildren, VNode } from "preact";
import { useId } from "preact/hooks";

export function TextPicker(props: {
  /** of the field to paste into */
  label: string;
  rows: number;
  disabled?: boolean;
  /** the sources are what is taken already */
  ownSources: boolean;
  /** beside the buttons */
  hint?: ComponentChildren;
  /** below them */
  note?: ComponentChildren;
  takeFile: (file: File) => unknown;
  /** resolves to whether it was taken: the field stays if not */
  takeText: (text: string) => Promise<boolean>;
  takeSources: () => unknown;
}): VNode {
  const { label, rows, disabled = false, ownSources, hint, note, takeFile, takeText, takeSources } = props;
  const pasting = useSignal(false);
  const draft = useSignal("");
  const id = useId();
  return (
    <>
      <div class="row">
        <button
          type="button"
          disabled={disabled}
          onClick={() => (pasting.value = !pasting.value)}
          aria-expanded={pasting.value}
        >
          Paste a text
        </button>
        <label class="button file">
          Pick a file…
          <input
            class="hidden"
            type="file"
            accept="text/*,.md,.csv,.json,.ts,.js,.py,.c,.h,.rs"
            disabled={disabled}
            onChange={({ currentTarget }) => {
              const file = currentTarget.files?.item(0);
              if (file) void takeFile(file);
              currentTarget.value = "";
            }}
          />
        </label>
        <button type="button" disabled={disabled || ownSources} onClick={() => void takeSources()}>
          This project's sources
        </button>
        {hint}
      </div>
      {note}
      {pasting.value && (
        <div class="field">
          <label for={id}>{label}</label>
          <textarea
            id={id}
            rows={rows}
            value={draft.value}
            onInput={({ currentTarget }) => (draft.value = currentTarget.value)}
          />
          <div class="row">
            <button
              type="button"
              disabled={disabled || draft.value === ""}
              onClick={async () => {
                if (await takeText(draft.value)) pasting.value = false;
              }}
            >
              Use this text
            </button>
          </div>
        </div>
      )}
    </>
  );
}
