// Times of kernels: one for each call, in the order of calls, on the clock of the thread that asks.

import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Backend, KernelWatch } from "../../src/backend/backend.ts";
import { nowUs } from "../../src/backend/clock.ts";
import type { KernelName } from "../../src/backend/kernels.ts";
import { SharedBackend } from "../../src/backend/share.ts";
import { backendUnderTest, closeBackend } from "./harness.ts";

interface Ran {
  kernel: KernelName;
  n: number;
  startUs: number;
  endUs: number;
}

/** Notes what it is told in `told`. */
const noting =
  (told: Ran[]): KernelWatch =>
  (kernel, args) => {
    const { n } = args as { n: number };
    return (startUs, endUs) => told.push({ kernel, n, startUs, endUs });
  };

function fill(backend: Backend, n: number): void {
  const y = backend.allocate({ dtype: "f32", length: n, purpose: "scratch" });
  backend.run("fill", { y, n, value: 1 });
  backend.free(y);
}

/** Of host and device together: what WebGPU's calibration may be off by. */
const slackUs = 2000;

test("every kernel of a trace is told of once, in the order of calls, between the trace's start and its end", async () => {
  const backend = await backendUnderTest();
  assert.ok(backend.trace, "this backend has no times");
  fill(backend, 3);
  const told: Ran[] = [];
  const startUs = nowUs();
  await backend.trace(noting(told));
  // More than are told of at a time.
  const sizes = Array.from({ length: 5000 }, (_, index) => index + 1);
  for (const n of sizes) fill(backend, n);
  await backend.trace(undefined);
  const endUs = nowUs();
  fill(backend, 4);
  await backend.sync();
  assert.equal(
    told.map(({ kernel, n }) => `${kernel} ${n}`),
    sizes.map((n) => `fill ${n}`),
  );
  let before = startUs - slackUs;
  for (const ran of told) {
    assert.ok(ran.startUs >= before && ran.endUs >= ran.startUs, `${ran.n}: ${before} ${ran.startUs} ${ran.endUs}`);
    before = ran.startUs;
  }
  assert.ok(before <= endUs + slackUs);
});

test("what is asked for begins, though nobody waits for it", async () => {
  const backend = await backendUnderTest();
  const told: Ran[] = [];
  await backend.trace?.(noting(told));
  fill(backend, 10);
  // As long as another rank may take to answer.
  await new Promise((resolve) => setTimeout(resolve, 500));
  const askedUs = nowUs();
  await backend.trace?.(undefined);
  assert.is(told.length, 1);
  assert.ok(told[0].endUs < askedUs, `began ${told[0].startUs - askedUs} us after it was waited for`);
});

test("a trace that ends can be started again, and reads still give what kernels wrote", async () => {
  const backend = await backendUnderTest();
  for (const n of [5, 700]) {
    const told: Ran[] = [];
    await backend.trace?.(noting(told));
    const y = backend.allocate({ dtype: "f32", length: n, purpose: "scratch" });
    backend.run("fill", { y, n, value: n });
    assert.equal([...(await backend.read(y))], new Array(n).fill(n));
    backend.run("fill", { y, n, value: 0 });
    await backend.trace?.(undefined);
    assert.equal(
      told.map((ran) => ran.n),
      [n, n],
    );
    backend.free(y);
  }
});

test("ranks that share a device are told of their own kernels only", async () => {
  const [first, second, third] = SharedBackend.divide(await backendUnderTest(), 3);
  const told: Ran[][] = [[], []];
  await Promise.all([first.trace?.(noting(told[0])), second.trace?.(noting(told[1]))]);
  for (const n of [1, 2, 3]) {
    fill(first, n);
    fill(third, 100 + n);
    fill(second, 10 * n);
  }
  const ended = first.trace?.(undefined);
  fill(first, 4);
  fill(second, 40);
  await Promise.all([ended, second.trace?.(undefined)]);
  assert.equal(
    told.map((each) => each.map(({ n }) => n)),
    [
      [1, 2, 3],
      [10, 20, 30, 40],
    ],
  );
  for (const share of [first, second, third]) share.dispose();
});

test.after(closeBackend);
test.run();
