// The page's stand-in for uvu proved: what fails in Node fails there.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { type PageResult, runAll, suite } from "../browser/uvu.ts";

async function results(): Promise<PageResult[]> {
  const all: PageResult[] = [];
  await runAll((result) => all.push(result));
  return all;
}

const outcome = (all: PageResult[]) =>
  all.map(({ name, error }) => `${name}: ${error?.split("\n")[0].replace("Error: ", "") ?? "passed"}`);

test("tests run in order with their hooks around them, once", async () => {
  const calls: string[] = [];
  const s = suite();
  s.before(() => calls.push("before"));
  s.after(() => calls.push("after"));
  s.before.each(() => calls.push("before each"));
  s.after.each(() => calls.push("after each"));
  s("a", () => calls.push("a"));
  s("b", async () => calls.push("b"));
  s.run();
  assert.equal(outcome(await results()), ["a: passed", "b: passed"]);
  assert.equal(calls, ["before", "before each", "a", "after each", "before each", "b", "after each", "after"]);
  assert.equal(await results(), []);
});

test("a throwing test, a rejected one and throwing hooks are failed results", async () => {
  const thrown = (text: string) => () => {
    throw new Error(text);
  };
  const s = suite("s");
  s("a", thrown("broken"));
  s("b", () => Promise.reject(new Error("rejected")));
  s.run();
  const noBefore = suite("t");
  noBefore.before(thrown("no device"));
  noBefore("a", () => {});
  noBefore.run();
  const noAfter = suite("u");
  noAfter.after(thrown("leak"));
  noAfter("a", () => {});
  noAfter.run();
  const eachFails = suite("v");
  eachFails.after.each(thrown("left open"));
  eachFails("a", () => {});
  eachFails.run();
  assert.equal(outcome(await results()), [
    "s a: broken",
    "s b: rejected",
    "t before: no device",
    "u a: passed",
    "u after: leak",
    "v a: left open",
  ]);
});

test("a suite that is never run gives no results", async () => {
  suite()("a", () => {});
  assert.equal(await results(), []);
});

test("leaving tests out throws", () => {
  assert.throws(() => suite().skip(), "every test must run");
  assert.throws(() => suite().only(), "every test must run");
});

test.run();
