// One of the page's answers: its title, what is going on while it is being found, and older answers told apart from the present one.

import type { ComponentChildren, VNode } from "preact";
import { useId } from "preact/hooks";
import { fieldsUnmended, Notice } from "../kit/fields.tsx";
import type { Answer } from "./answer.ts";

export function Panel(props: {
  title: string;
  /** an older one stands below, faded, until the present one is there */
  answer: Answer<unknown>;
  kind?: string;
  children: ComponentChildren;
}): VNode {
  const { title, answer, kind = "", children } = props;
  const id = useId();
  const stale = answer.stale.value;
  // Where a field waits to be mended nothing is asked.
  const busy = answer.busy.value ?? (stale && !fieldsUnmended.value ? "simulating" : undefined);
  const wrong = answer.wrong.value;
  return (
    <section class={`panel ${kind} ${stale ? "stale" : ""}`} aria-labelledby={id} aria-busy={busy !== undefined}>
      <div class="title">
        <h2 id={id}>{title}</h2>
        {/* Sentences that matter are read aloud when they are there; this changes many times a second. */}
        <span class="quiet small" aria-hidden="true">
          {busy ?? (stale && "of the question before")}
        </span>
      </div>
      {wrong !== undefined && <Notice title="No answer">{wrong}</Notice>}
      {children}
    </section>
  );
}
