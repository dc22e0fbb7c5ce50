// What bench/links.ts runs inside a page.

/** @public called by name from bench/links.ts */
export { runLinks as run } from "./links-run.ts";
