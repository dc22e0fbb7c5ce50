// A small picture for each page.

import type { VNode } from "preact";

/** By the page's name; 48 x 48. */
export const icons: Readonly<Record<string, VNode>> = {
  products: (
    <>
      <path class="one" d="M6 6h16v16H6zM26 26h16v16H26z" />
      <path class="two" d="M26 6h16v16H26zM6 26h16v16H6z" />
    </>
  ),
  train: (
    <>
      <path class="axis" d="M6 6v36h36" />
      <path class="line one" d="M10 10c4 20 8 24 14 26s12 3 18 3" />
      <path class="line two dashed" d="M10 14c5 16 9 19 15 20s11 1 17 1" />
    </>
  ),
  scale: (
    <>
      <path class="three" d="M6 32h6v10H6z" />
      <path class="two" d="M16 26h6v16h-6z" />
      <path class="one" d="M26 16h6v26h-6zM36 6h6v36h-6z" />
    </>
  ),
  together: (
    <>
      <path class="link" d="M24 12 10 36h28z" />
      <circle class="one" cx="24" cy="11" r="7" />
      <circle class="two" cx="10" cy="36" r="7" />
      <circle class="three" cx="38" cy="36" r="7" />
    </>
  ),
};
