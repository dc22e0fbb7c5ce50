// The text: pasted, dropped, picked, or this project's own sources.

import { useSignal } from "@preact/signals";
import type { VNode } from "preact";
import { useId } from "preact/hooks";
import { count } from "../kit/format.ts";
import { TextPicker } from "../kit/text-picker.tsx";
import { loadFile, loadSources, loadText } from "./actions.ts";
import { sourcesName } from "./settings.ts";
import { busy, started, text, textWrong } from "./state.ts";

export function Source(): VNode {
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
      <TextPicker
        label="Your text: the longer, the better; a book is good"
        rows={8}
        disabled={locked}
        ownSources={facts?.name === sourcesName}
        hint={<span class="small quiet">or drop a file here</span>}
        takeFile={loadFile}
        takeText={loadText}
        takeSources={loadSources}
      />
      {facts && <pre class={`opening ${started.value || locked ? "short" : ""}`}>{facts.opening}</pre>}
    </section>
  );
}
