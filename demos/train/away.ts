// A tab in the background: the run goes on behind a checkpoint, and who comes back is told how far.

import { remote } from "./actions.ts";
import { away, kept, lastStep, phase } from "./state.ts";

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

function awayWords(since: { ms: number; step: number }): string {
  const spent = Math.round((performance.now() - since.ms) / 1000);
  const steps = lastStep() - since.step;
  const during = `This tab was in the background for ${spent} ${spent === 1 ? "second" : "seconds"}`;
  const safe = kept.value ? ` The checkpoint of step ${kept.value.step} is kept in this browser.` : "";
  return steps > 0
    ? `${during}; the run went on for ${steps} ${steps === 1 ? "step" : "steps"}.${safe}`
    : `${during}, and the browser held the run.${safe}`;
}
