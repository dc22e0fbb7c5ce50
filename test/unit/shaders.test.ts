// The files of shaders/ as files: each is valid WGSL without being specialised, and what several must say alike
// (each stands alone, so they cannot share it) is the same text.

import { readdirSync, readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { create } from "webgpu";
import { reflect, withHalves } from "../../src/backend/webgpu/specialise.ts";

const files = readdirSync("shaders").map((name) => ({ name, source: readFileSync(`shaders/${name}`, "utf8") }));

// Dawn crashes when its entry object is collected while a device lives.
const dawn = create(["backend=null"]);

test("every shader compiles into a pipeline as it stands on disk", async () => {
  const adapter = await dawn.requestAdapter();
  assert.ok(adapter, "Dawn's null adapter needs no hardware");
  const device = await adapter.requestDevice({ requiredFeatures: ["subgroups"] });
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
  const device = await adapter!.requestDevice({ requiredFeatures: ["subgroups", "shader-f16"] });
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
