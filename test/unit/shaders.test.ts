// The files of shaders/ as files: each is valid WGSL without being specialised, and what several must say alike
// (each stands alone, so they cannot share it) is the same text.

import { readdirSync, readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { create } from "webgpu";
import { reflect, specialise, withHalves } from "../../src/backend/webgpu/specialise.ts";

const files = readdirSync("shaders").map((name) => ({ name, source: readFileSync(`shaders/${name}`, "utf8") }));

// Dawn crashes when its entry object is collected while a device lives.
const dawn = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
const matrixFeature = "chromium-experimental-subgroup-matrix" as GPUFeatureName;

test("every shader compiles into a pipeline as it stands on disk", async () => {
  const adapter = await dawn.requestAdapter();
  assert.ok(adapter, "Dawn's null adapter needs no hardware");
  const device = await adapter.requestDevice({ requiredFeatures: ["subgroups", matrixFeature] });
  assert.ok(files.length > 25);
  for (const { name, source } of files) {
    assert.ok(name.endsWith(".wgsl"), name);
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ code: source });
    device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main" } });
    const error = await device.popErrorScope();
    assert.is(error, null, `${name}: ${error?.message}`);
  }
  device.destroy();
});

test("every shader whose bindings have aliases compiles for f16 in all of them", async () => {
  const adapter = await dawn.requestAdapter();
  const device = await adapter!.requestDevice({ requiredFeatures: ["subgroups", "shader-f16", matrixFeature] });
  let compiled = 0;
  for (const { name, source } of files) {
    if (!/^alias /m.test(source)) continue;
    compiled++;
    device.pushErrorScope("validation");
    const bindings = reflect(source).storage.map((binding) => binding.name);
    const code = withHalves(source, bindings);
    assert.match(code, /^enable f16;\n/);
    assert.not.match(code, /^alias \w+ = [fu]32;/m);
    const module = device.createShaderModule({ code });
    device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main" } });
    const error = await device.popErrorScope();
    assert.is(error, null, `${name}: ${error?.message}`);
  }
  assert.ok(compiled > 20);
  device.destroy();
});

test("one binding of an alias in f16 and another not is refused by name", () => {
  const { source } = files.find(({ name }) => name === "gelu.wgsl")!;
  assert.throws(() => withHalves(source, ["x"]), /y is of type T, but not of f16/);
});

test("marked lines are repeated, whole blocks and inner ones too, and not there at 0", () => {
  const text = `const ROWS: u32 = 1u;
const COLUMNS: u32 = 1u;
const SOME: u32 = 1u;
var x_r = r + r0; //@ each r < ROWS
if (r < NINE) { //@ each r < ROWS
f(a_r_c, c); //@ each c < COLUMNS
}
g(); //@ each s < SOME
//@+ h(b_q); //@ each q < COLUMNS
`;
  const made = specialise(text, { ROWS: 2, COLUMNS: 2, SOME: 0 }).split("\n");
  const wanted = [
    ...[
      "const ROWS: u32 = 2u;",
      "const COLUMNS: u32 = 2u;",
      "const SOME: u32 = 0u;",
      "var x_0 = 0u + r0;",
      "var x_1 = 1u + r0;",
    ],
    ...[
      "if (0u < NINE) {",
      "f(a_0_0, 0u);",
      "f(a_0_1, 1u);",
      "}",
      "if (1u < NINE) {",
      "f(a_1_0, 0u);",
      "f(a_1_1, 1u);",
      "}",
    ],
    ...["h(b_0);", "h(b_1);", ""],
  ];
  assert.equal(
    made.map((line) => line.trim()),
    wanted,
  );
  assert.throws(() => specialise("x_i; //@ each i < NONE\n", {}), /no const NONE/);
});

test("the product by lanes compiles in every form it is made in", async () => {
  const adapter = await dawn.requestAdapter();
  const device = await adapter!.requestDevice({ requiredFeatures: ["subgroups"] });
  const { source } = files.find(({ name }) => name === "matmulLanes.wgsl")!;
  for (const [LANES, LINES, STRIPS, GROUPS] of [
    [4, 1, 1, 1],
    [4, 4, 4, 5],
    [8, 8, 2, 1],
  ])
    for (const bits of Array.from({ length: 32 }, (_, i) => [1, 2, 4, 8, 16].map((bit) => Number((i & bit) > 0)))) {
      const [VECTORS, WIDE, TAIL, ACCUMULATE, transposed] = bits;
      const kinds = { VECTORS, SCALARS: 1 - VECTORS, WIDE, NARROW: 1 - WIDE };
      const counts = { LANES, LINES, STRIPS, GROUPS, ...kinds, TAIL, ACCUMULATE };
      const code = specialise(source, { ...counts, TRANSPOSE_A: transposed === 1, TRANSPOSE_B: transposed === 1 });
      device.pushErrorScope("validation");
      const module = device.createShaderModule({ code });
      device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main" } });
      const error = await device.popErrorScope();
      assert.is(error, null, `${JSON.stringify(counts)}: ${error?.message}`);
    }
  device.destroy();
});

test("a shader that is not valid would be noticed", async () => {
  const device = await (await dawn.requestAdapter())?.requestDevice();
  device?.pushErrorScope("validation");
  device?.createShaderModule({ code: "fn main() { return 1; }" });
  assert.ok(await device?.popErrorScope());
  device?.destroy();
});

test("every shader opens with its equation and its grid", () => {
  for (const { name, source } of files) assert.match(source, /^\/\/ (?:[^\n]*\n\/\/ )*[^\n]*grid: /i, name);
});

for (const fn of ["mulHigh", "philox"])
  test(`every copy of ${fn} is the same text`, () => {
    const copies = files.flatMap(({ source }) =>
      [...source.matchAll(new RegExp(`^fn ${fn}\\([\\s\\S]*?^}`, "gm"))].map(([text]) => text),
    );
    assert.ok(copies.length > 1);
    assert.is(new Set(copies).size, 1);
  });

test.run();
