// A table that may be wider than its place, or higher.

import type { ComponentChildren, VNode } from "preact";

/** @param kind "tall": scrolls downwards too, past some lines */
export const Scrolling = (props: { label: string; kind?: string; children: ComponentChildren }): VNode => (
  // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard
  <section class={`scroll ${props.kind ?? ""}`} tabIndex={0} aria-label={props.label}>
    {props.children}
  </section>
);
