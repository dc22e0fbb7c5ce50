// The text: pasted, dropped, picked, or this project's own sources.

import { useSignal } from "@preact/signals";
import type { VNode } from "preact";
import { useId } from "preact/hooks";
import { count } from "../kit/format.ts";
import { loadFile, loadSources, loadText } from "./actions.ts";
import { sourcesName } from "./settings.ts";
import { busy, started, text, textWrong } from "./state.ts";

export function Source(): VNode {
  const pasting = useSignal(false);
  const draft = useSignal("");
  const over = useSignal(false);
  const id = useId();
  const facts = text.value;
  const wrong = textWrong.value;
  const locked = busy.value;
  const drop = (event: DragEvent) => {
    event.preventDefault();
    over.value = false;
    if (locked) return;
    const file = event.dataTransfer?.files.item(0);
    const dropped = event.dataTransfer?.getData("text/plain");
    if (file) void loadFile(file);
    else if (dropped) void loadText(dropped);
  };
  return (
    <section
      class={`panel source ${over.value ? "over" : ""}`}
      aria-labelledby={`${id}-title`}
      onDragOver={(event) => {
        event.preventDefault();
        over.value = !locked;
      }}
      onDragLeave={() => (over.value = false)}
      onDrop={drop}
    >
      <h2 id={`${id}-title`}>Text</h2>
      <p role="status">
        {facts
          ? `${facts.name}: ${count(facts.characters)} characters, ${count(facts.different)} different. The first nine tenths train, the rest validates.`
          : "Fetching this project's sources…"}
      </p>
      {wrong !== undefined && (
        <p class="wrong" role="alert">
          {wrong}
        </p>
      )}
      <div class="row">
        <button
          type="button"
          disabled={locked}
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
            disabled={locked}
            onChange={({ currentTarget }) => {
              const file = currentTarget.files?.item(0);
              if (file) void loadFile(file);
              currentTarget.value = "";
            }}
          />
        </label>
        <button type="button" disabled={locked || facts?.name === sourcesName} onClick={() => void loadSources()}>
          This project's sources
        </button>
        <span class="small quiet">or drop a file here</span>
      </div>
      {pasting.value && (
        <div class="field">
          <label for={`${id}-text`}>Your text: the longer, the better; a book is good</label>
          <textarea
            id={`${id}-text`}
            rows={8}
            value={draft.value}
            onInput={({ currentTarget }) => (draft.value = currentTarget.value)}
          />
          <div class="row">
            <button
              type="button"
              disabled={locked || draft.value === ""}
              onClick={async () => {
                if (await loadText(draft.value)) pasting.value = false;
              }}
            >
              Use this text
            </button>
          </div>
        </div>
      )}
      {facts && <pre class={`opening ${started.value || locked ? "short" : ""}`}>{facts.opening}</pre>}
    </section>
  );
}
