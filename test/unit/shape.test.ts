// Layouts and meshes as users write them, and what is legal for a model.

import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { UserError } from "../../src/backend/errors.ts";
import {
  isLegal,
  type LayoutName,
  layoutNames,
  meshShape,
  parseMesh,
  requireLegal,
  shapesOf,
} from "../../src/parallel/shape.ts";

const shape = (layout: LayoutName | undefined, mesh?: string) =>
  meshShape({ layout, dims: mesh === undefined ? undefined : parseMesh(mesh) });

function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof UserError) return error.message;
    throw error;
  }
  throw new Error("nothing was refused");
}

test("a mesh without a layout: its axes say which", () => {
  assert.equal(shape(undefined, "8"), { layout: "1d", dims: [8], size: 8, q: 1, d: 1 });
  assert.equal(shape(undefined, "3x3"), { layout: "2d", dims: [3, 3], size: 9, q: 3, d: 1 });
  assert.equal(shape(undefined, "2x2x3"), { layout: "2.5d", dims: [2, 2, 3], size: 12, q: 2, d: 3 });
  assert.equal(shape(undefined), { layout: "serial", dims: [1], size: 1, q: 1, d: 1 });
});

for (const [layout, mesh, message] of [
  ["2d", "2x3", "mesh 2x3: rows and columns of a 2d mesh must be as many; use 2x2 or 3x3"],
  ["2.5d", "4x2x3", "mesh 4x2x3: rows and columns of a 2.5d mesh must be as many; use 2x2x3 or 4x4x3"],
  ["2d", "4", "mesh 4: layout 2d needs a mesh of 2 axes; use one like 2x2, or another layout"],
  ["1d", "2x2", "mesh 2x2: layout 1d needs a mesh of 1 axis; use one like 4, or another layout"],
  ["serial", "2", "mesh 2: layout serial is one rank; leave --mesh out, or use layout 1d, 2d or 2.5d"],
  ["2.5d", undefined, "layout 2.5d needs a mesh of ranks; add one, for example --mesh 2x2x2"],
  ["1d", "100000", "mesh 100000: 100000 ranks, need at most 4096; use a smaller mesh"],
] as const)
  test(`${layout} on ${mesh ?? "no mesh"} is refused`, () =>
    assert.is(
      refusal(() => shape(layout, mesh)),
      message,
    ));

for (const [what, wrong, message] of [
  ["extents that are no whole numbers", { dims: [2.5] }, /^mesh 2.5: need P, q x q or q x q x d as whole numbers/],
  ["extents below 1", { dims: [-2, -2] }, /^mesh -2x-2: need P/],
  ["no ranks", { dims: [0] }, /^mesh 0: need P/],
  [
    "no axes",
    { dims: [] },
    /^mesh of no axes: need P, q x q or q x q x d as whole numbers from 1; write it like 8, 2x2/,
  ],
  ["no axes, serial", { layout: "serial", dims: [] }, /^mesh of no axes: need P/],
  ["four axes", { dims: [2, 2, 2, 2] }, /^mesh 2x2x2x2: need P, q x q or q x q x d as whole numbers from 1; write/],
  ["four axes with a layout", { layout: "2.5d", dims: [2, 2, 2, 2] }, /^mesh 2x2x2x2: need P/],
  ["a layout that is none", { layout: "3d" as LayoutName, dims: [2, 2, 2] }, /^got layout 3d, need one of serial, 1d,/],
] as const)
  test(`a mesh of ${what} is refused, whoever made it`, () =>
    assert.match(
      refusal(() => meshShape(wrong)),
      message,
    ));

for (const text of ["", "x", "2x", "0", "2x0", "-1", "2.5", "2x2x2x2", "2*2", "two", " 2"])
  test(`mesh "${text}" is no mesh`, () =>
    assert.match(
      refusal(() => parseMesh(text)),
      "need P, q x q or q x q x d",
    ));

const llama = { width: 64, heads: 8, kvHeads: 4, ffn: 176, batch: 8, context: 16 };
for (const [layout, mesh, extents, message] of [
  [
    "2d",
    "3x3",
    llama,
    /^mesh 3x3: 8 query heads do not divide over q = 3; use 6 or 9 query heads, or a mesh of 4x4, 2x2$/,
  ],
  [
    "1d",
    "8",
    llama,
    /^mesh 8: 4 key-value heads do not divide over 8 ranks; use 8 key-value heads, or a mesh of 4, 2$/,
  ],
  [
    "2.5d",
    "2x2x3",
    llama,
    /^mesh 2x2x3: 8 samples of a batch do not divide over q d = 6; use 6 or 12 samples of a batch, or a mesh of /,
  ],
  [
    "2d",
    "2x2",
    { ...llama, ffn: 177 },
    /^mesh 2x2: 177 columns of the feed-forward part do not divide over q = 2; use 176 or 178/,
  ],
  [
    "1d-sp",
    "4",
    { ...llama, batch: 3, context: 6 },
    /^mesh 4: 18 tokens of a batch do not divide over 4 ranks; use 16 or 20 tokens/,
  ],
  ["2d", "2x2", { ...llama, width: 66, heads: 6, kvHeads: 3 }, /^mesh 2x2: 3 key-value heads do not divide over q = 2/],
] as const)
  test(`${layout} ${mesh}: refused with what would do`, () =>
    assert.match(
      refusal(() => requireLegal(shape(layout, mesh), extents)),
      message,
    ));

test("every mesh that a refusal proposes is legal", () => {
  const extent = fc.integer({ min: 1, max: 24 });
  const side = fc.integer({ min: 1, max: 5 });
  fc.assert(
    fc.property(
      fc.constantFrom(...layoutNames.filter((name) => name !== "serial")),
      fc.record({ width: extent, heads: extent, kvHeads: extent, ffn: extent, batch: extent, context: extent }),
      fc.tuple(side, side),
      (layout, extents, [a, b]) => {
        const mesh = layout === "2d" ? `${a}x${a}` : layout === "2.5d" ? `${a}x${a}x${b}` : `${a}`;
        const asked = shape(layout, mesh);
        if (isLegal(asked, extents)) return requireLegal(asked, extents);
        const message = refusal(() => requireLegal(asked, extents));
        const proposed = /a mesh of (.*)$/.exec(message)?.[1].split(", ") ?? [];
        for (const text of proposed) assert.ok(isLegal(shape(layout, text), extents), `${message}: ${text}`);
      },
    ),
    { seed: 1, numRuns: 500 },
  );
});

test("all shapes of 16 ranks", () => {
  assert.equal(
    shapesOf(16).map(({ layout, dims }) => `${layout} ${dims.join("x")}`),
    ["1d 16", "1d-sp 16", "2.5d 2x2x4", "2d 4x4"],
  );
  assert.equal(
    shapesOf(1).map(({ layout }) => layout),
    ["serial"],
  );
});

test.run();
