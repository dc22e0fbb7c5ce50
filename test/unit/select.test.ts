// The rule that picks a backend, and the line the user is told.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { UserError } from "../../src/backend/errors.ts";
import { choose } from "../../src/backend/select.ts";

const adapter = (description: string, software: boolean) => ({ adapter: { description, software } });
const gpu = adapter("Apple M1", false);
const llvmpipe = adapter("llvmpipe (LLVM 19.1.7, 256 bits)", true);
const swiftshader = adapter("SwiftShader driver 5.0.0", true);
const none = { missing: "no Vulkan driver found; install one" };

test("auto takes a GPU, and the cpu backend rather than a software adapter or none", () => {
  const taken = [gpu, llvmpipe, swiftshader, none].map((found) => choose("auto", found).backend);
  assert.equal(taken, ["webgpu", "cpu", "cpu", "cpu"]);
});

test("webgpu takes any adapter, cpu none", () => {
  for (const found of [gpu, llvmpipe, swiftshader]) {
    assert.is(choose("webgpu", found).backend, "webgpu");
    assert.is(choose("cpu", found).backend, "cpu");
  }
});

test("webgpu without an adapter is a user's error that says what to install", () => {
  assert.throws(
    () => choose("webgpu", none),
    (error: unknown) => error instanceof UserError && /install/.test(error.message),
  );
});

test("a fallback's note is one line with the adapter, or what is missing, and what would help", () => {
  for (const found of [llvmpipe, swiftshader, none]) assert.not.match(choose("auto", found).note, /\n/);
  assert.match(choose("auto", gpu).note, /Apple M1/);
  assert.match(choose("auto", llvmpipe).note, /no GPU.*llvmpipe.*slower/);
  assert.match(choose("auto", swiftshader).note, /no GPU.*SwiftShader.*slower/);
  assert.match(choose("auto", none).note, /install/);
});

test.run();
