// The text that a room trains on: this project's sources, a file, or what is pasted.

import { useSignal } from "@preact/signals";
import type { VNode } from "preact";
import { useId } from "preact/hooks";
import { count } from "../kit/format.ts";
import { sourcesName } from "./choice.ts";
import type { TextFacts } from "./engine.ts";

export function Source(props: {
  text: TextFacts | undefined;
  take: (given?: { name: string; text: string }) => Promise<void>;
}): VNode {
  const { text, take } = props;
  const pasting = useSignal(false);
  const draft = useSignal("");
  const id = useId();
  return (
    <section class="panel" aria-labelledby={`${id}-title`}>
      <h2 id={`${id}-title`}>Text</h2>
      <p role="status">
        {text
          ? `${text.name}: ${count(text.characters)} characters, ${count(text.vocabulary)} different.`
          : "Fetching this project's sources…"}
      </p>
      <div class="row">
        <button type="button" aria-expanded={pasting.value} onClick={() => (pasting.value = !pasting.value)}>
          Paste a text
        </button>
        <label class="button file">
          Pick a file…
          <input
            class="hidden"
            type="file"
            accept="text/*,.md,.csv,.json,.ts,.js,.py"
            onChange={async ({ currentTarget }) => {
              const file = currentTarget.files?.item(0);
              currentTarget.value = "";
              if (file) await take({ name: file.name, text: await file.text() });
            }}
          />
        </label>
        <button type="button" disabled={text?.name === sourcesName} onClick={() => void take()}>
          This project's sources
        </button>
      </div>
      <p class="small quiet">Once the room is open, everybody in it gets this text, and nobody else.</p>
      {pasting.value && (
        <div class="field">
          <label for={`${id}-text`}>Your text</label>
          <textarea
            id={`${id}-text`}
            rows={6}
            value={draft.value}
            onInput={({ currentTarget }) => (draft.value = currentTarget.value)}
          />
          <div class="row">
            <button
              type="button"
              disabled={draft.value === ""}
              onClick={async () => {
                await take({ name: "a pasted text", text: draft.value });
                pasting.value = false;
              }}
            >
              Use this text
            </button>
          </div>
        </div>
      )}
    </section>
  );
}
