// The README's library example, run as it stands but for its size, and the README's links.

import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ensureBuilt } from "../../scripts/build.mjs";
import { bundle } from "../../scripts/bundle.mjs";

const readme = readFileSync("README.md", "utf8");

test("the library example trains and samples, in about twenty lines", async () => {
  await ensureBuilt();
  const example = /```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? "";
  const lines = example.trim().split("\n").length;
  assert.ok(lines >= 10 && lines <= 25, `${lines} lines`);
  const folder = mkdtempSync(join(process.cwd(), "build/readme-"));
  try {
    writeFileSync(join(folder, "book.txt"), "the quick brown fox jumps over the lazy dog; ".repeat(60));
    const small = example
      .replace("steps: 500", "steps: 3")
      .replace("n_embd: 128", "n_embd: 16")
      .replace("evalBatches: 10", "evalBatches: 1")
      .replace("sampleTokens: 300", "sampleTokens: 12")
      .replace('backend: "auto"', 'backend: "cpu"')
      .replace('from "shardgrad"', `from ${JSON.stringify(pathToFileURL("dist/index.js").href)}`);
    writeFileSync(join(folder, "example.ts"), small);
    const outfile = join(folder, "example.mjs");
    await bundle({ entryPoints: [join(folder, "example.ts")], outfile, external: ["file:*"] });
    const output = execFileSync(process.execPath, [outfile], { cwd: folder, encoding: "utf8" });
    assert.match(output, /^cpu, as asked\n1 \d\.\d+\n2 \d\.\d+\n3 \d\.\d+\n[a-z; ]{13}\n$/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

for (const name of ["README.md", "ARCHITECTURE.md"])
  test(`every file that ${name} links to is there`, () => {
    const links = [...readFileSync(name, "utf8").matchAll(/\]\((?!http)([^)#]+)\)/g)].map(([, link]) => link);
    assert.ok(name !== "README.md" || links.length > 5);
    for (const link of links) assert.ok(existsSync(link), `${link} is not there`);
  });

test.run();
