// Tuning in a page: what is measured is kept in IndexedDB and found there by the next backend.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { ensureBuilt } from "../../scripts/build.mjs";
import { openBrowser } from "./page.ts";

type Library = typeof import("../../src/index.ts");

let browser: Awaited<ReturnType<typeof openBrowser>>;
test.before(async () => {
  await ensureBuilt();
  browser = await openBrowser({ root: process.cwd() });
});
test.after(() => browser?.close());

test("a page measures a product once, keeps the choice in IndexedDB, and ignores what else may lie there", async () => {
  const { use, close } = await browser.openPage();
  try {
    const { first, kept, second, third, fixed } = await use(
      (page) =>
        page.evaluate(async () => {
          const url = "/dist/index.js";
          const library: Library = await import(url);
          const database = async () => {
            const opening = indexedDB.open("shardgrad", 1);
            await new Promise((resolve, reject) => {
              opening.onsuccess = resolve;
              opening.onerror = reject;
            });
            return opening.result;
          };
          const records = async (change?: (store: IDBObjectStore) => void) => {
            const open = await database();
            const transaction = open.transaction("tuning", "readwrite");
            const store = transaction.objectStore("tuning");
            change?.(store);
            const all = store.getAll();
            await new Promise((resolve) => {
              transaction.oncomplete = resolve;
            });
            open.close();
            return all.result;
          };
          /** A product of 3 rows on a new backend, before and after it tunes. */
          const run = async (tune: boolean) => {
            const told: string[] = [];
            const tell = (line: string) => void told.push(line);
            const { backend, tuning } = await library.createBackend({ backend: "webgpu", tune, tell });
            const tape = new library.Tape(backend, { recording: false });
            const x = tape.input(
              Float32Array.from({ length: 3 * 400 }, (_, i) => i % 5),
              { shape: [3, 400] },
            );
            const w = tape.input(
              Float32Array.from({ length: 400 * 112 }, (_, i) => (i % 7) - 3),
              { shape: [400, 112] },
            );
            const multiply = async () => [...(await library.matmul(x, w, { form: "nn" }).read())];
            const before = await multiply();
            const measuring = backend.tune?.();
            await measuring;
            const after = await multiply();
            tape[Symbol.dispose]();
            const left = backend.memory.total;
            backend.dispose();
            // Sums of small whole numbers: the same whatever kernel adds them.
            const same = before.every((value, i) => value === after[i]);
            return {
              told,
              left,
              same,
              measured: measuring !== undefined,
              table: tuning?.table,
              some: after.slice(0, 3),
            };
          };
          const first = await run(true);
          const kept = await records();
          const second = await run(true);
          await records((store) => {
            store.openCursor().onsuccess = ({ target }) => {
              (target as IDBRequest<IDBCursorWithValue | null>).result?.update({ adapter: 7 });
            };
          });
          const third = await run(true);
          return { first, kept, second, third, fixed: await run(false) };
        }),
      { timeoutMs: 60_000 },
    );
    const sums = Array.from({ length: 3 }, (_, column) =>
      Array.from({ length: 400 }, (_, k) => (k % 5) * (((k * 112 + column) % 7) - 3)).reduce(
        (sum, term) => sum + term,
        0,
      ),
    );
    for (const run of [first, second, third, fixed]) {
      assert.is(run.same, true);
      assert.equal(run.some, sums);
      assert.is(run.left, 0);
    }
    assert.is(first.measured, true);
    assert.equal(first.told, []);
    assert.is(Object.keys(first.table!.choices).length, 1);
    assert.match(first.table!.adapter, /Chrome/);
    assert.equal(kept, [first.table]);
    assert.is(second.measured, false);
    assert.equal(second.table, first.table);
    assert.is(third.measured, true);
    assert.is(third.told.length, 1, third.told.join("; "));
    assert.match(third.told[0], /IndexedDB shardgrad\/tuning\/tuning-\w+ is ignored/);
    assert.is(fixed.measured, false);
    assert.is(fixed.table, undefined);
  } finally {
    await close();
  }
});

test.run();
