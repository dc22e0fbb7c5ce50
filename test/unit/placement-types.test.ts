// The programs in test/types that must not compile fail where they should, for the reason they give: `npm run check` sees that each
// expected error is there, this sees that it is that error.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import { equal, match, ok } from "uvu/assert";

const folder = "test/types";
const directive = "// @ts-expect-error ";

/** Errors of the compiler by file and line, for the files as `change` leaves them. */
function compile(change: (source: string) => string): Map<string, string> {
  mkdirSync("build", { recursive: true });
  // As deep below the root as the originals, so that their imports hold.
  const copy = mkdtempSync("build/types-");
  try {
    for (const file of readdirSync(folder))
      writeFileSync(join(copy, file), change(readFileSync(join(folder, file), "utf8")));
    const config = { extends: "../../tsconfig.json", include: ["."], exclude: [] };
    writeFileSync(join(copy, "tsconfig.json"), JSON.stringify({ ...config, files: ["../../src/imports.d.ts"] }));
    let output = "";
    try {
      execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "--noEmit", "--pretty", "false", "-p", copy]);
    } catch (error) {
      output = String((error as { stdout?: Buffer }).stdout);
    }
    const errors = new Map<string, string>();
    // A message's further lines are indented.
    for (const message of output.split(/^(?=\S)/m)) {
      const [, file, line] = /^(\S+?)\((\d+),\d+\): error/.exec(message) ?? [];
      // What is wrong elsewhere is for `npm run check` to say.
      if (file?.includes(copy)) errors.set(`${file.split("/").at(-1)}:${line}`, message);
    }
    if (output && !output.includes("): error")) throw new Error(`the compiler did not run: ${output}`);
    return errors;
  } finally {
    rmSync(copy, { recursive: true });
  }
}

test("each wrong program is refused on its line, with the sentence it expects, and nothing else is", () => {
  const errors = compile((source) => source.replaceAll(directive, "// "));
  let expected = 0;
  for (const file of readdirSync(folder)) {
    for (const [index, line] of readFileSync(join(folder, file), "utf8").split("\n").entries()) {
      if (!line.startsWith(directive)) continue;
      expected++;
      const at = `${file}:${index + 2}`;
      ok(errors.has(at), `${at} compiles, but should say: ${line.slice(directive.length)}`);
      const said = errors.get(at) ?? "";
      ok(
        said.includes(line.slice(directive.length)),
        `${at} should say: ${line.slice(directive.length)}, but says: ${said}`,
      );
      errors.delete(at);
    }
  }
  ok(expected > 0);
  equal([...errors], []);
});

test("a wrong program that begins to compile is an error", () => {
  const errors = compile((source) => source.replace(/^gelu\(sums\);$/m, "gelu(whole);"));
  equal(errors.size, 1);
  match([...errors.values()][0], /TS2578: Unused '@ts-expect-error' directive/);
});

test.run();
