// What moves the film on: by itself, a frame at a time, or to wherever it is drawn. Who asks for less motion sees frames, not movement.

import { batch, computed, effect, signal } from "@preact/signals";
import { frame, lastStep, progress, shown, state } from "./state.ts";

/** of a frame at speed 1: of blocks that move, of ranks that multiply, and the rest after either */
const [moveMs, multiplyMs, restMs] = [1100, 500, 350];

const lessMotion = matchMedia("(prefers-reduced-motion: reduce)");
export const still = signal(lessMotion.matches);
lessMotion.addEventListener("change", () => (still.value = lessMotion.matches));

export const playing = signal(false);
export const atEnd = computed(() => shown.value >= lastStep.value && progress.value >= 1);

/** milliseconds since the frame was there as a whole */
let restedMs = 0;
let ticking = 0;

/** To that frame: at once, or moving. */
export function show(step: number, { moving }: { moving: boolean }): void {
  const to = Math.max(0, Math.min(step, lastStep.value));
  restedMs = 0;
  batch(() => {
    shown.value = to;
    progress.value = moving && !still.value && frame.value?.kind === "move" ? 0 : 1;
  });
  if (progress.value < 1) begin();
}

/** By hand: what plays stops, and the address says where. */
export function goTo(step: number, options: { moving: boolean } = { moving: false }): void {
  playing.value = false;
  show(step, options);
  state.step.value = shown.value;
}

export function play(): void {
  if (playing.value) {
    playing.value = false;
    state.step.value = shown.value;
    return;
  }
  playing.value = true;
  if (atEnd.value) show(0, { moving: false });
  begin();
}

function begin(): void {
  if (ticking !== 0) return;
  let before = performance.now();
  const tick = (now: number) => {
    ticking = 0;
    // A tab in the background is not caught up with.
    advance(Math.min(100, now - before) * Number(state.speed.value));
    before = now;
    if (playing.value || progress.value < 1) ticking = requestAnimationFrame(tick);
  };
  ticking = requestAnimationFrame(tick);
}

function advance(ms: number): void {
  if (progress.value < 1) {
    progress.value = Math.min(1, progress.value + ms / moveMs);
    return;
  }
  if (!playing.value) return;
  restedMs += ms;
  const kind = frame.value?.kind;
  if (restedMs < restMs + (kind === "multiply" || still.value ? multiplyMs : 0)) return;
  if (shown.value < lastStep.value) show(shown.value + 1, { moving: true });
  else {
    playing.value = false;
    state.step.value = shown.value;
  }
}

/** Follows the address, which the back button changes, and a film that has become shorter. */
export function follow(): void {
  effect(() => {
    const { value } = state.step;
    if (!playing.peek() && value !== shown.peek()) show(value, { moving: false });
  });
  effect(() => {
    // Not before there is one.
    if (lastStep.value > 0 && state.step.value > lastStep.value) {
      state.step.value = lastStep.value;
      show(lastStep.value, { moving: false });
    }
  });
}
