// Buffers joined into one piece of memory: what kernels, reads, writes and frees do to them and to the piece.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { Serial } from "../../src/parallel/serial.ts";
import { constant, Parameter } from "../../src/tensor/tensor.ts";
import { AdamW } from "../../src/train/optimizer.ts";
import { backendUnderTest, closeBackend } from "./harness.ts";

/** Neither is a multiple of any alignment, so there is nobody's memory between them. */
const lengths = [5, 130, 1, 64];
const values = lengths.map((length, index) => Float32Array.from({ length }, (_, i) => 100 * index + i + 1));
const total = values.reduce((sum, each) => each.reduce((a, b) => a + b, sum), 0);

async function joinedBuffers() {
  const backend = await backendUnderTest();
  const parts = values.map((data) => {
    const buffer = backend.allocate({ dtype: "f32", length: data.length, purpose: "weights" });
    backend.write(buffer, data);
    return buffer;
  });
  const before = { ...backend.memory.bytes };
  const whole = backend.join?.(parts);
  assert.equal(backend.memory.bytes, before);
  return { backend, parts, whole };
}

test("joined buffers keep their values, their ways of being read and written, and their neighbours'", async () => {
  const { backend, parts } = await joinedBuffers();
  for (const [i, part] of parts.entries()) assert.equal(await backend.read(part), values[i]);
  backend.run("fill", { y: parts[1], n: 130, value: -1 });
  backend.write(parts[2], Float32Array.of(7));
  assert.equal(await backend.read(parts[0]), values[0]);
  assert.equal(await backend.read(parts[1]), new Float32Array(130).fill(-1));
  assert.equal(await backend.read(parts[2]), Float32Array.of(7));
  assert.equal(await backend.read(parts[3], 3), values[3].slice(0, 3));
  for (const part of parts) backend.free(part);
  assert.is(backend.memory.total, 0);
});

test("a kernel over the whole is one over every part, and finds zeros between them", async () => {
  const { backend, parts, whole } = await joinedBuffers();
  if (whole) {
    const scratch = (length: number) => backend.allocate({ dtype: "f32", length, purpose: "scratch" });
    const [y, partials] = [scratch(1), scratch(256)];
    const sum = { partials, y, n: whole.length, scale: 1, square: false, accumulate: false };
    backend.run("sum", { ...sum, x: whole });
    // Whole numbers below 2^24 add exactly.
    assert.equal(await backend.read(y), Float32Array.of(total));
    const twice = parts.map(({ length }) => scratch(length));
    const other = backend.join!(twice);
    assert.is(other.length, whole.length);
    backend.run("scale", { x: whole, y: other, n: whole.length, alpha: 2 });
    for (const [i, part] of twice.entries())
      assert.equal(
        await backend.read(part),
        values[i].map((v) => 2 * v),
      );
    for (const buffer of [y, partials, ...twice]) backend.free(buffer);
  }
  for (const part of parts) backend.free(part);
  assert.is(backend.memory.total, 0);
});

test("the whole ends with the first part that is freed or joined again; memory comes back with the last", async () => {
  const { backend, parts, whole } = await joinedBuffers();
  if (whole) {
    const again = backend.join!(parts.slice(1));
    await assertRejects(() => backend.read(whole), /freed already/);
    assert.equal(await backend.read(parts[0]), values[0]);
    assert.equal(await backend.read(parts[3]), values[3]);
    backend.free(parts[3]);
    await assertRejects(() => backend.read(again), /freed already/);
    assert.equal(await backend.read(parts[1]), values[1]);
    assert.throws(() => backend.free(parts[3]), /freed already/);
    assert.throws(() => backend.join!([]), /join: 0 buffers/);
    for (const part of parts.slice(0, 3)) backend.free(part);
  } else for (const part of parts) backend.free(part);
  backend.trim();
  assert.is(backend.memory.total, 0);
  if (whole) assert.is(backend.memory.reservedBytes, 0);
});

test("a second optimizer over the same weights steps as the first did, also after the first has gone", async () => {
  const backend = await backendUnderTest();
  const layout = new Serial(backend);
  const parameters = values.map((data, at) => {
    const { storage } = constant(backend, { shape: [data.length], data, purpose: "weights" });
    return new Parameter(storage, { shape: [data.length], name: `w${at}`, decay: false });
  });
  const hyper = { beta1: 0.9, beta2: 0.99, eps: 1e-8, weightDecay: 0, clip: 0 };
  for (const round of [1, 2]) {
    using optimizer = new AdamW(backend, { ...hyper, layout, parameters });
    for (const { gradient } of parameters) backend.write(gradient.buffer, new Float32Array(gradient.size).fill(2));
    for (const parameter of parameters) parameter.gradientFilled = true;
    await optimizer.step({ gradients: await layout.reduceGradients(parameters), learningRate: 0.5 });
    assert.equal(await optimizer.normSquared.read(), Float32Array.of(4 * 200));
    // From zero moments a step is the learning rate, whatever the gradient's size.
    for (const [at, parameter] of parameters.entries())
      for (const [i, w] of (await parameter.read()).entries())
        assert.ok(Math.abs(w - (values[at][i] - 0.5 * round)) < 1e-3, `${w} at ${i} of ${at} in round ${round}`);
  }
  for (const parameter of parameters) parameter.dispose();
  assert.is(backend.memory.total, 0);
});

async function assertRejects(call: () => Promise<unknown>, message: RegExp): Promise<void> {
  const error = await call().then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.instance(error, Error);
  assert.match((error as Error).message, message);
}

test.after(closeBackend);
test.run();
