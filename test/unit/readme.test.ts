// The README's library example, run as it stands but for its size, its types from elsewhere, and the README's links.

import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ensureBuilt } from "../../scripts/build.mjs";
import { bundle } from "../../scripts/bundle.mjs";

const readme = readFileSync("README.md", "utf8");

/** What an example of the README prints when it runs. */
async function run(example: string): Promise<string> {
  await ensureBuilt();
  const folder = mkdtempSync(join(process.cwd(), "build/readme-"));
  try {
    writeFileSync(join(folder, "book.txt"), "the quick brown fox jumps over the lazy dog; ".repeat(60));
    const here = example
      .replace('backend: "auto"', 'backend: "cpu"')
      .replace(/from "shardgrad(\/parallel)?"/g, (_, door) => {
        const file = door ? "dist/parallel.js" : "dist/index.js";
        return `from ${JSON.stringify(pathToFileURL(file).href)}`;
      });
    writeFileSync(join(folder, "example.ts"), here);
    const outfile = join(folder, "example.mjs");
    await bundle({ entryPoints: [join(folder, "example.ts")], outfile, external: ["file:*"] });
    return execFileSync(process.execPath, [outfile], { cwd: folder, encoding: "utf8" });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const examples = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, example]) => example);

test("the library example trains on a mesh and samples, in about twenty lines", async () => {
  const lines = examples[0].trim().split("\n").length;
  assert.ok(lines >= 10 && lines <= 25, `${lines} lines`);
  const output = await run(
    examples[0]
      .replace("steps: 500", "steps: 3")
      .replace("n_embd: 128", "n_embd: 16")
      .replace("evalBatches: 10", "evalBatches: 1")
      .replace("sampleTokens: 300", "sampleTokens: 12"),
  );
  const numbers = String.raw`\[(\s+\d+,?){8}\s*\]`;
  const steps = [1, 2, 3].map((step) => String.raw`${step} \d\.\d+ ${numbers} ${numbers}\n`).join("");
  assert.match(output, new RegExp(String.raw`^cpu, as asked\n${steps}[a-z; ]{13}\n$`));
});

test("the example of one product gives it", async () => {
  const output = await run(examples[1].replace("console.log(c)", "console.log(JSON.stringify(Array.from(c)))"));
  const c: unknown[] = JSON.parse(output);
  const inner = Array.from({ length: 30 }, (_, k) => k);
  const wanted = (row: number, col: number) => inner.reduce((sum, k) => sum + (row + k) * (k - col), 0);
  assert.is(c.length, 7000);
  for (const at of [0, 69, 70, 3512, 6999]) assert.is(c[at], wanted(Math.floor(at / 70), at % 70), `element ${at}`);
  assert.is(examples.length, 2);
});

for (const [module, moduleResolution] of [
  ["esnext", "bundler"],
  ["nodenext", "nodenext"],
])
  test(`a TypeScript program elsewhere takes the examples, with ${moduleResolution} and libraries checked`, async () => {
    await ensureBuilt();
    const folder = mkdtempSync(join(process.cwd(), "build/consumer-"));
    try {
      mkdirSync(join(folder, "node_modules"));
      symlinkSync(process.cwd(), join(folder, "node_modules/shardgrad"), "junction");
      writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "consumer", type: "module" }));
      const typed = "\n// @ts-expect-error: types are there, so this is none of them\nconst wrong: string = backend;\n";
      for (const [at, example] of examples.entries()) writeFileSync(join(folder, `${at}.ts`), example + typed);
      const compilerOptions = {
        ...{ target: "es2022", module, moduleResolution, strict: true, skipLibCheck: false, noEmit: true },
        types: ["node"],
      };
      writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
      const tsc = join(process.cwd(), "node_modules/typescript/bin/tsc");
      const { status, stdout } = spawnSync(process.execPath, [tsc, "-p", folder], { encoding: "utf8" });
      assert.is(stdout, "");
      assert.is(status, 0);
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
