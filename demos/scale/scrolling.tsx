// A table that may be wider than its place.

import type { ComponentChildren, VNode } from "preact";

export const Scrolling = ({ label, children }: { label: string; children: ComponentChildren }): VNode => (
  // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard
  <section class="scroll" tabIndex={0} aria-label={label}>
    {children}
  </section>
);
