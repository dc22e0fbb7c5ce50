// The text that a room trains on: this project's sources, a file, or what is pasted.

import type { VNode } from "preact";
import { useId } from "preact/hooks";
import { count } from "../kit/format.ts";
import { TextPicker } from "../kit/text-picker.tsx";
import { sourcesName } from "./choice.ts";
import type { TextFacts } from "./engine.ts";

export function Source(props: {
  text: TextFacts | undefined;
  take: (given?: { name: string; text: string }) => Promise<void>;
}): VNode {
  const { text, take } = props;
  const id = useId();
  return (
    <section class="panel" aria-labelledby={`${id}-title`}>
      <h2 id={`${id}-title`}>Text</h2>
      <p role="status">
        {text
          ? `${text.name}: ${count(text.characters)} characters, ${count(text.vocabulary)} different.`
          : "Fetching this project's sources…"}
      </p>
      <TextPicker
        label="Your text"
        rows={6}
        ownSources={text?.name === sourcesName}
        note={<p class="small quiet">Once the room is open, everybody in it gets this text, and nobody else.</p>}
        takeFile={async (file) => take({ name: file.name, text: await file.text() })}
        takeText={async (pasted) => {
          await take({ name: "a pasted text", text: pasted });
          return true;
        }}
        takeSources={() => take()}
      />
    </section>
  );
}
