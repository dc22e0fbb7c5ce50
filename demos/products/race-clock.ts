// The clock of a race, from 0 to 1 of the slowest's time.

import { effect, signal } from "@preact/signals";
import { still } from "./player.ts";
import { state } from "./state.ts";

/** of a race as it is watched; who asks for less motion sees it in so many pictures */
const [raceMs, pictures] = [7000, 10];

export const clock = signal(state.time.peek());
export const racing = signal(false);

const stop = () => {
  racing.value = false;
  // As fine as the slider.
  state.time.value = Math.round(200 * clock.value) / 200;
};

export function setClock(to: number): void {
  clock.value = to;
  stop();
}

export function playRace(): void {
  if (racing.value) {
    stop();
    return;
  }
  racing.value = true;
  let at = clock.value >= 1 ? 0 : clock.value;
  let before = performance.now();
  const tick = (now: number) => {
    if (!racing.value) return;
    at = Math.min(1, at + Math.min(100, now - before) / raceMs);
    before = now;
    clock.value = still.value ? Math.floor(at * pictures) / pictures : at;
    if (at < 1) requestAnimationFrame(tick);
    else stop();
  };
  requestAnimationFrame(tick);
}

/** Follows the address, which the back button changes. */
export function followClock(): void {
  effect(() => {
    const { value } = state.time;
    if (!racing.peek()) clock.value = value;
  });
}
