// The test runner proved on files that uvu alone would let pass, or that fail in the ways files fail.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { inParallel, parseSummary, runFile } from "../../scripts/runner.mjs";

let folder = "";
let files = 0;

test.before(() => {
  // Inside the project: the files import uvu.
  folder = mkdtempSync(join(process.cwd(), "build/runner-"));
});

test.after(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a file that begins by importing uvu. */
function judge(body: string, timeoutMs = 60_000) {
  const file = join(folder, `${files++}.mjs`);
  writeFileSync(file, `import { test } from "uvu";\n${body}`);
  return runFile({ file, timeoutMs });
}

test("two passing tests pass, and are counted", async () => {
  const { passed, failed, reason } = await judge(`test("a", () => {}); test("b", async () => {}); test.run();`);
  assert.equal({ passed, failed, reason }, { passed: 2, failed: 0, reason: undefined });
});

test("several suites in one file are counted together", async () => {
  const { passed, failed } = await judge(
    `import { suite } from "uvu";
     for (const name of ["x", "y"]) { const s = suite(name); s("a", () => {}); s("b", () => {}); s.run(); }`,
  );
  assert.equal({ passed, failed }, { passed: 4, failed: 0 });
});

test("a file whose suites hold no tests fails", async () => {
  const { passed, failed, reason } = await judge("test.run();");
  assert.equal({ passed, failed, reason }, { passed: 0, failed: 1, reason: "registered no tests" });
});

test("a failing test fails, and its message is kept", async () => {
  const { passed, failed, output } = await judge(
    `test("good", () => {}); test("bad", () => { throw new Error("expected 3, got 4"); }); test.run();`,
  );
  assert.equal({ passed, failed }, { passed: 1, failed: 1 });
  assert.match(output, "expected 3, got 4");
});

test("a before hook that throws fails every test of the file, and says why", async () => {
  const { passed, failed, reason, output } = await judge(
    `test.before(() => { throw new Error("no device"); }); test("a", () => {}); test("b", () => {}); test.run();`,
  );
  assert.equal({ passed, failed, reason }, { passed: 0, failed: 2, reason: "2 of 2 did not pass" });
  assert.match(output, "test.before failed: Error: no device");
});

test("a forgotten test.run() fails", async () => {
  const { passed, failed, reason } = await judge(`test("a", () => {});`);
  assert.equal({ passed, failed }, { passed: 0, failed: 1 });
  assert.match(reason ?? "", "is test.run() missing?");
});

test("a skipped test fails", async () => {
  const { failed, reason } = await judge(`test("a", () => {}); test.skip("b", () => {}); test.run();`);
  assert.is(failed, 1);
  assert.match(reason ?? "", "1 skipped");
});

test("test.only fails, for the tests it leaves out", async () => {
  const { failed } = await judge(`test.only("a", () => {}); test("b", () => {}); test.run();`);
  assert.is(failed, 1);
});

test("an exception outside any test fails", async () => {
  const { failed, reason } = await judge(`throw new Error("at the top");`);
  assert.is(failed, 1);
  assert.match(reason ?? "", "ended with code 1");
});

test("process.exit(0) in a test fails", async () => {
  const { failed, reason } = await judge(`test("a", () => process.exit(0)); test.run();`);
  assert.is(failed, 1);
  assert.match(reason ?? "", "no results");
});

test("an unhandled rejection after the tests passed fails", async () => {
  const { failed, reason } = await judge(
    `test("a", () => { setTimeout(() => Promise.reject(new Error("late")), 200); }); test.run();`,
  );
  assert.is(failed, 1);
  assert.match(reason ?? "", "ended with code 1");
});

test("a crash fails", async () => {
  const { failed, reason } = await judge(`test("a", () => process.kill(process.pid, "SIGSEGV")); test.run();`);
  assert.is(failed, 1);
  assert.match(reason ?? "", "killed by SIGSEGV");
});

test("an endless loop fails at the time-out", async () => {
  const { failed, reason } = await judge(`test("a", () => { for (;;); }); test.run();`, 1000);
  assert.is(failed, 1);
  assert.match(reason ?? "", "still running after 1 s");
});

test("a file that passes but never ends fails at the time-out", async () => {
  const { failed, reason } = await judge(`setInterval(() => {}, 1000); test("a", () => {}); test.run();`, 1000);
  assert.is(failed, 1);
  assert.match(reason ?? "", "still running");
});

test("a file that is not there fails", async () => {
  const { failed } = await runFile({ file: join(folder, "absent.mjs"), timeoutMs: 60_000 });
  assert.is(failed, 1);
});

test("parseSummary sees through colours, and finds nothing in other text", () => {
  const coloured =
    "\n  Total:     3\u001b[32m\n  Passed:    2\u001b[39m\n  Skipped:   \u001b[33m1\u001b[39m\n  Duration:  1ms\n\n";
  assert.equal(parseSummary(coloured), { total: 3, passed: 2, skipped: 1 });
  assert.is(parseSummary("Passed: 3"), undefined);
});

test("inParallel runs every item once, never more than its width at a time", async () => {
  const done: number[] = [];
  let running = 0;
  let most = 0;
  await inParallel([5, 1, 4, 2, 3], {
    width: 2,
    work: async (n: number) => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, n * 5));
      running--;
      done.push(n);
    },
  });
  assert.equal(done.sort(), [1, 2, 3, 4, 5]);
  assert.is(most, 2);
});

test.run();
