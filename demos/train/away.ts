// A tab in the background, or about to go: the run goes on behind a checkpoint, and who comes back is told how far.

import { remote } from "./actions.ts";
import { away, kept, lastStep, phase, safe } from "./state.ts";

let hiddenAt: { ms: number; step: number } | undefined;
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    if (phase.value !== "running") return;
    hiddenAt = { ms: performance.now(), step: lastStep() };
    // A browser may throw a hidden tab away without a word.
    remote()
      .keep()
      .catch(() => undefined); // the run was over before
    return;
  }
  if (hiddenAt) away.value = awayWords(hiddenAt);
  hiddenAt = undefined;
});

// Who leaves before a first checkpoint is kept would lose the run: the browser asks.
window.addEventListener("beforeunload", (event) => {
  if (phase.value !== "idle" && !safe.value) event.preventDefault();
});

function awayWords(since: { ms: number; step: number }): string {
  const spent = Math.round((performance.now() - since.ms) / 1000);
  const steps = lastStep() - since.step;
  const during = `This tab was in the background for ${spent} ${spent === 1 ? "second" : "seconds"}`;
  const there = safe.value ? ` The checkpoint of step ${kept.value?.step} is kept in this browser.` : "";
  return steps > 0
    ? `${during}; the run went on for ${steps} ${steps === 1 ? "step" : "steps"}.${there}`
    : `${during}, and the browser held the run.${there}`;
}
