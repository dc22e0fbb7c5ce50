// uvu's registration API for a page, which has no process to end with a code: tests are collected, then run one by one, and every
// result goes to the caller. `uvu` resolves to this file in bundles for the page; `uvu/assert` is uvu's own.

type Handler = () => unknown;

export interface PageResult {
  name: string;
  /** undefined when the test passed */
  error?: string;
  durationMs: number;
}

interface Suite {
  name: string;
  tests: { name: string; handler: Handler }[];
  before: Handler[];
  after: Handler[];
  beforeEach: Handler[];
  afterEach: Handler[];
}

const ready: Suite[] = [];

/** A test left out is a failure, as it is in Node. */
function leftOut(how: string): never {
  throw new Error(`test.${how} leaves tests out: every test must run`);
}

export function suite(name = "") {
  const empty = (): Suite => ({ name, tests: [], before: [], after: [], beforeEach: [], afterEach: [] });
  let current = empty();
  const hook = (key: "before" | "after" | "beforeEach" | "afterEach") => (handler: Handler) => {
    current[key].push(handler);
  };
  return Object.assign((name: string, handler: Handler) => void current.tests.push({ name, handler }), {
    before: Object.assign(hook("before"), { each: hook("beforeEach") }),
    after: Object.assign(hook("after"), { each: hook("afterEach") }),
    only: () => leftOut("only"),
    skip: () => leftOut("skip"),
    run: () => {
      ready.push(current);
      current = empty();
    },
  });
}

/** @public what `import { test } from "uvu"` means in a page */
export const test = suite();

const message = (error: unknown): string => (error instanceof Error ? (error.stack ?? error.message) : String(error));

/** Runs what was registered and `.run()`. A hook that throws is a failed result of its own. */
export async function runAll(report: (result: PageResult) => void): Promise<void> {
  const attempt = async (name: string, handlers: Handler[]) => {
    const started = performance.now();
    const result = (error?: string) => ({ name, error, durationMs: performance.now() - started });
    try {
      for (const handler of handlers) await handler();
      return result();
    } catch (error) {
      return result(message(error));
    }
  };
  for (const { name: suiteName, tests, before, after, beforeEach, afterEach } of ready.splice(0)) {
    const label = (name: string) => [suiteName, name].filter(Boolean).join(" ");
    const opened = await attempt(label("before"), before);
    if (opened.error) report(opened);
    else {
      for (const { name, handler } of tests) {
        const result = await attempt(label(name), [...beforeEach, handler]);
        const closed = await attempt(label(name), afterEach);
        report({ ...result, error: result.error ?? closed.error });
      }
    }
    const closed = await attempt(label("after"), after);
    if (closed.error) report(closed);
  }
}
