// One of the page's answers: its title, and what is going on while it is being found.

import type { ComponentChildren, VNode } from "preact";
import { useId } from "preact/hooks";

export function Panel(props: {
  title: string;
  /** what it is at; an older answer may stand below meanwhile */
  busy?: string | undefined;
  /** why there is no answer */
  wrong?: string | undefined;
  kind?: string;
  children: ComponentChildren;
}): VNode {
  const { title, busy, wrong, kind = "", children } = props;
  const id = useId();
  return (
    <section class={`panel ${kind}`} aria-labelledby={id} aria-busy={busy !== undefined}>
      <div class="title">
        <h2 id={id}>{title}</h2>
        {/* Sentences that matter are read aloud when they are there; this changes many times a second. */}
        <span class="quiet small" aria-hidden="true">
          {busy}
        </span>
      </div>
      {wrong !== undefined && <p class="small">{wrong}</p>}
      {children}
    </section>
  );
}
