// How Node waits for an adapter that computes on its own cores.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { giveWay } from "../../src/backend/node.ts";

const after = (ms: number) => new Promise<string>((resolve) => setTimeout(resolve, ms, "done"));

/** Turns of the event loop while something is awaited, and how many of them slept. */
async function turnsDuring(done: Promise<unknown>): Promise<{ turns: number; slept: number }> {
  const { wait } = Atomics;
  let [turns, slept, waiting] = [0, 0, true];
  Atomics.wait = ((...args: Parameters<typeof wait>) => {
    slept++;
    return wait(...args);
  }) as typeof wait;
  const turn = () => {
    turns++;
    if (waiting) setImmediate(turn);
  };
  setImmediate(turn);
  await done;
  waiting = false;
  Atomics.wait = wait;
  return { turns, slept };
}

test("every turn of the event loop sleeps while such an adapter is awaited, once however many waits there are", async () => {
  const { turns, slept } = await turnsDuring(Promise.all([giveWay(after(40)), giveWay(after(60))]));
  assert.ok(slept > 0, "none slept");
  // One or two at either end.
  assert.ok(Math.abs(turns - slept) <= 4, `${slept} of ${turns} turns slept`);
});

test("none sleeps when nothing is awaited any more, and results and errors come through", async () => {
  assert.is(await giveWay(after(5)), "done");
  const lost = after(5).then(() => Promise.reject(new Error("lost")));
  assert.is(await giveWay(lost).catch((error: Error) => error.message), "lost");
  await after(1);
  assert.is((await turnsDuring(after(5))).slept, 0);
});

test.run();
