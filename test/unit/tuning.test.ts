// Tables of choices as files: where they are, what is refused, and that two processes may write at once.

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { openStore } from "../../src/backend/webgpu/tuning/store.ts";
import { adapterWords, isTable, shadersHash } from "../../src/backend/webgpu/tuning/table.ts";

const folder = mkdtempSync(join(tmpdir(), "shardgrad-tuning-"));
const before = process.env.XDG_CACHE_HOME;
test.before.each(() => {
  process.env.XDG_CACHE_HOME = folder;
});
test.after(() => {
  if (before === undefined) delete process.env.XDG_CACHE_HOME;
  else process.env.XDG_CACHE_HOME = before;
  rmSync(folder, { recursive: true, force: true });
});

const table = { adapter: "an adapter", shaders: "a hash", choices: { "matmul of some class": "split 4" } };

async function rejection(call: () => Promise<unknown>): Promise<string> {
  try {
    await call();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("nothing was thrown");
}

test("a table is kept in XDG_CACHE_HOME/shardgrad, one file an adapter, and comes back as it was", async () => {
  const store = (await openStore("an adapter"))!;
  assert.is(dirname(store.place), join(folder, "shardgrad"));
  assert.is(await store.load(), undefined);
  await store.save(table);
  assert.equal(await (await openStore("an adapter"))!.load(), table);
  assert.is(await (await openStore("another"))!.load(), undefined);
});

test("a relative XDG_CACHE_HOME does not count, as its specification has it", async () => {
  process.env.XDG_CACHE_HOME = "cache";
  assert.match((await openStore("an adapter"))!.place, /\.cache[/\\]shardgrad[/\\]tuning-/);
});

test("what is no table is refused: half a file, another object, choices that are no names", async () => {
  const store = (await openStore("broken"))!;
  await store.save(table);
  const text = readFileSync(store.place, "utf8");
  for (const wrong of [text.slice(0, 40), "", "[]", "null", JSON.stringify({ ...table, choices: { a: 1 } })]) {
    writeFileSync(store.place, wrong);
    await rejection(() => store.load());
  }
  assert.is(isTable({ ...table, choices: [] }), false);
  assert.is(isTable(table), true);
});

test("a folder that cannot be written to: save says so", async () => {
  writeFileSync(join(folder, "a file"), "");
  process.env.XDG_CACHE_HOME = join(folder, "a file");
  const store = (await openStore("an adapter"))!;
  assert.match(await rejection(() => store.save(table)), /ENOTDIR|EEXIST/);
  await rejection(() => store.load());
});

test("fifty saves at once, and loads between them: always a whole table, and nothing is left beside it", async () => {
  const store = (await openStore("busy"))!;
  const long = (i: number) => ({ ...table, choices: { [`of ${"a".repeat(20_000)}`]: `${i}` } });
  await store.save(long(0));
  const saves = Array.from({ length: 50 }, (_, i) => store.save(long(i)));
  const loads = Array.from({ length: 50 }, () => store.load());
  for (const loaded of await Promise.all(loads)) assert.ok(isTable(loaded));
  await Promise.all(saves);
  assert.equal(
    readdirSync(dirname(store.place)).filter((name) => name.includes(".json.")),
    [],
  );
});

test("the hash is of every shader's name and text, in any order; the adapter's words tell software from hardware", async () => {
  const hash = await shadersHash({ a: "1", b: "2" });
  assert.is(await shadersHash({ b: "2", a: "1" }), hash);
  const others: Record<string, string>[] = [{ a: "1", b: "3" }, { a: "1", c: "2" }, { a: "1" }, { a: "12", b: "" }];
  for (const other of others) assert.is.not(await shadersHash(other), hash);
  const info = { vendor: "v", architecture: "a", description: "d 1.2", software: true, features: [], limits: {} };
  assert.is.not(adapterWords(info), adapterWords({ ...info, software: false }));
  assert.is.not(adapterWords(info), adapterWords({ ...info, description: "d 1.3" }));
});

test.run();
