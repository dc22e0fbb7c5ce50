// The parts of the scripts that decide something: the layering rule, stripped shaders, apt's source files.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { classicEntries, deb822Entries } from "../../scripts/apt.mjs";
import { stripShader } from "../../scripts/bundle.mjs";
import { cycle, forbidden, importsOf } from "../../scripts/layers.mjs";

test("a folder may import from itself and from below, never from above", () => {
  assert.is(forbidden("src/tensor/tape.ts", "src/backend/backend.ts"), undefined);
  assert.is(forbidden("src/tensor/tape.ts", "src/tensor/tensor.ts"), undefined);
  assert.match(forbidden("src/tensor/tape.ts", "src/nn/gpt2.ts") ?? "", "tensor lies below nn");
  assert.match(forbidden("src/backend/webgpu/plan.ts", "src/tensor/tape.ts") ?? "", "backend lies below tensor");
});

test("the public API sees all, cli sees it, others below it do not", () => {
  assert.is(forbidden("src/index.ts", "src/cluster/launch.ts"), undefined);
  assert.is(forbidden("src/parallel.ts", "src/cluster/launch.ts"), undefined);
  assert.is(forbidden("src/cli/train.ts", "src/index.ts"), undefined);
  assert.is(forbidden("demos/scale/page.ts", "src/parallel.ts"), undefined);
  assert.match(forbidden("src/nn/gpt2.ts", "src/index.ts") ?? "", "only cli");
});

test("src never imports tests, and a folder of no known layer is refused", () => {
  assert.match(forbidden("src/nn/gpt2.ts", "test/gpu/harness.ts") ?? "", "src stands on its own");
  assert.match(forbidden("src/utils/x.ts", "src/nn/gpt2.ts") ?? "", "no known layer");
  assert.match(
    forbidden("demos/train/page.ts", "src/nn/gpt2.ts") ?? "",
    "only src/index.ts, src/parallel.ts, src/plan.ts",
  );
});

test("imports of every form are seen, type-only ones too", () => {
  const source = `
import a from "./a.ts";
import type { B } from "../b.ts";
import {
  c,
  d,
} from "./c.ts";
export * from "./e.ts";
export type { F } from "./f.ts";
import "./g.ts";
const h = await import("./h.ts");
let i: import("./i.ts").I;
import { j } from "webgpu";
`;
  const names = ["a", "../b", "c", "e", "f", "g", "h", "i"].map(
    (name) => `src/${name.startsWith("..") ? "b" : `x/${name}`}.ts`,
  );
  assert.equal(importsOf("src/x/y.ts", source), [...names, "webgpu"]);
});

test("an import cycle is found and named, a diamond is none", () => {
  const graph = (edges: Record<string, string[]>) => new Map(Object.entries(edges));
  assert.equal(cycle(graph({ a: ["b"], b: ["c"], c: ["b"] })), ["b", "c", "b"]);
  assert.is(cycle(graph({ a: ["b", "c"], b: ["d"], c: ["d"], d: [] })), undefined);
});

test("a stripped shader keeps what says which lines are repeated", () => {
  const source = "  let x_i = f(i); //@ each i < COUNT\n  //@+ let y = 1; //@ each s < SOME\n // gone\n";
  assert.is(stripShader(source), "let x_i = f(i); //@ each i < COUNT\n//@+ let y = 1; //@ each s < SOME\n");
});

test("a stripped shader keeps its code and lines, and loses comments that nest", () => {
  const source = `// y = a b
const tile: u32 = 8; // rows a workgroup

/* outer /* inner */ still a comment */ @compute @workgroup_size(tile)
fn main() {
    let x = a / *p; /* one */ let y = 1   +   2;
}
`;
  const stripped = `const tile: u32 = 8;
@compute @workgroup_size(tile)
fn main() {
let x = a / *p; let y = 1 + 2;
}
`;
  assert.is(stripShader(source), stripped);
});

test("apt's deb822 sources: comments, several suites, a key written out in place", () => {
  const text = `Types: deb
# a note
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc

Types: deb-src
URIs: http://mirror.test/debian
Suites: bookworm
Components: main

Enabled: no
Types: deb
URIs: http://other.test/debian
Suites: bookworm
Components: main
`;
  const [entry, ...others] = deb822Entries(text);
  assert.equal(others, []);
  assert.is(entry.uri, "http://mirror.test/debian");
  assert.equal(entry.suites, ["bookworm", "bookworm-updates"]);
  assert.equal(entry.components, ["main"]);
  assert.is(entry.signedBy, "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc");
});

test("apt's one-line sources: options, components, comments", () => {
  const text = `# deb http://old.test/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] http://mirror.test/debian bookworm main contrib
deb http://mirror.test/debian bookworm-updates main
deb-src http://mirror.test/debian bookworm main
`;
  assert.equal(classicEntries(text), [
    {
      uri: "http://mirror.test/debian",
      suites: ["bookworm"],
      components: ["main", "contrib"],
      signedBy: "/usr/share/keyrings/x.gpg",
    },
    { uri: "http://mirror.test/debian", suites: ["bookworm-updates"], components: ["main"], signedBy: undefined },
  ]);
});

test.run();
