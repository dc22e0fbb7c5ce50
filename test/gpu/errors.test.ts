// What goes wrong on a device reaches its caller as a typed error that names the call. Every failure here is real:
// the device is destroyed, the shader is malformed, the memory is asked for.

import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Backend } from "../../src/backend/backend.ts";
import { type DeviceError, DeviceLostError, OutOfMemoryError, ValidationError } from "../../src/backend/errors.ts";
import { createBackend, findAdapter } from "../../src/backend/select.ts";
import { WebGpuBackend } from "../../src/backend/webgpu/backend.ts";
import { openDevice } from "../../src/backend/webgpu/device.ts";
import { shaders } from "../../src/backend/webgpu/shaders.ts";
import { specialise } from "../../src/backend/webgpu/specialise.ts";
import { backendUnderTest, closeBackend } from "./harness.ts";

const scratch = (backend: Backend, length = 4) => backend.allocate({ dtype: "f32", length, purpose: "scratch" });

function thrown(call: () => unknown): Error {
  try {
    call();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error("nothing was thrown");
}

async function rejected(call: () => Promise<unknown>): Promise<Error> {
  try {
    await call();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error("nothing was thrown");
}

test("an allocation beyond the limit throws at once, with the bytes asked, the limit and what to do", async () => {
  const backend = await backendUnderTest();
  const before = backend.memory.total;
  const length = Math.floor(backend.maxBufferBytes / 4) + 4;
  const error = thrown(() => backend.allocate({ dtype: "f32", length, purpose: "activations" }));
  assert.instance(error, OutOfMemoryError);
  assert.match((error as OutOfMemoryError).call, /allocate/);
  assert.match(error.message, /MB|GB|bytes/);
  assert.match(error.message, /smaller/);
  assert.is(backend.memory.total, before);
});

test("a buffer freed twice, used after its end, or of another backend is refused", async () => {
  const backend = await backendUnderTest();
  const name = backend.name;
  const { backend: other } = await createBackend({ backend: name, tune: false });
  const buffer = scratch(backend);
  const foreign = scratch(other);
  assert.throws(() => backend.free(foreign), /another backend/);
  assert.throws(() => backend.write(foreign, new Float32Array(4)), /another backend/);
  backend.free(buffer);
  assert.throws(() => backend.free(buffer), /freed already/);
  assert.throws(() => backend.run("fill", { y: buffer, n: 4, value: 1 }), /freed already/);
  assert.match((await rejected(() => backend.read(buffer))).message, /freed already/);
  other.dispose();
});

if (globalThis.process?.env.SHARDGRAD_TEST_BACKEND === "webgpu") {
  const open = async (broken?: Record<string, string>) => {
    const found = await findAdapter();
    if ("missing" in found) throw new Error(found.missing);
    const { device, info, sources } = await openDevice(found.adapter);
    return { device, backend: new WebGpuBackend({ device, info, sources: { ...sources, ...broken } }) };
  };

  test("after dispose every call says so", async () => {
    const { backend } = await open();
    backend.dispose();
    assert.match(thrown(() => scratch(backend)).message, /disposed/);
  });

  test("a lost device: the read under way and every later call throw DeviceLostError", async () => {
    const { device, backend } = await open();
    const buffer = scratch(backend);
    backend.run("fill", { y: buffer, n: 4, value: 1 });
    device.destroy();
    const first = await rejected(() => backend.read(buffer));
    assert.instance(first, DeviceLostError);
    assert.is((first as DeviceLostError).call, "read 4 elements");
    assert.instance(await rejected(() => backend.sync()), DeviceLostError);
    assert.instance(
      thrown(() => backend.run("fill", { y: buffer, n: 4, value: 1 })),
      DeviceLostError,
    );
    assert.instance(
      thrown(() => scratch(backend)),
      DeviceLostError,
    );
    backend.dispose();
  });

  test("a device lost while its kernels are timed: whoever waits for their times gets DeviceLostError", async () => {
    const { device, backend } = await open();
    assert.ok(backend.trace, "this device has no timestamps");
    await backend.trace(() => () => {});
    const buffer = scratch(backend);
    backend.run("fill", { y: buffer, n: 4, value: 1 });
    const ended = backend.trace(undefined);
    device.destroy();
    const error = await rejected(() => ended);
    assert.instance(error, DeviceLostError);
    assert.is((error as DeviceLostError).call, "trace");
    assert.instance(await rejected(() => backend.trace!(() => () => {})), DeviceLostError);
    backend.dispose();
  });

  test("a shader that does not validate: sync throws ValidationError with the call and the device's words, once", async () => {
    const { backend } = await open({ fill: shaders.fill.replace("T(params.bits)", "T(params.bitz)") });
    const buffer = scratch(backend);
    backend.write(buffer, new Float32Array([1, 2, 3, 4]));
    backend.run("fill", { y: buffer, n: 4, value: 1 });
    const error = await rejected(() => backend.sync());
    assert.instance(error, ValidationError);
    assert.match((error as ValidationError).call, /^run fill n=4/);
    assert.match(error.message, /bitz/);
    // The backend goes on: what follows from the one mistake is not told again.
    assert.equal(await backend.read(buffer), new Float32Array([1, 2, 3, 4]));
    backend.dispose();
  });

  test("the same without a wait: the next call after the device has spoken throws", async () => {
    const { backend } = await open({ fill: shaders.fill.replace("T(params.bits)", "T(params.bitz)") });
    const buffer = scratch(backend);
    backend.run("fill", { y: buffer, n: 4, value: 1 });
    let error: unknown;
    for (let i = 0; i < 500 && error === undefined; i++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      try {
        backend.write(buffer, new Float32Array(4));
      } catch (caught) {
        error = caught;
      }
    }
    assert.instance(error, ValidationError);
    assert.match((error as ValidationError).call, /^run fill/);
    backend.dispose();
  });

  test("a dispatch too large for the device surfaces with its submit's calls", async () => {
    const { backend } = await open();
    const y = scratch(backend);
    backend.dispatch({ shader: "fill", buffers: { y }, params: { n: 4, bits: 1 }, workgroups: [65536, 1, 1] });
    const error = await rejected(() => backend.sync());
    assert.instance(error, ValidationError);
    assert.match((error as DeviceError).call, /dispatch fill/);
    backend.dispose();
  });

  // llvmpipe's memory is the operating system's promise: it gave 512 GB on a machine of 24 GB, so only others can run out.
  if (!/llvmpipe/.test((await backendUnderTest()).adapter.description)) {
    test("memory the device does not have: OutOfMemoryError names the allocation", async () => {
      const { backend } = await open();
      // Whole buffers until the device refuses; 64 x 64 of them are more than any GPU has.
      const length = Math.floor(backend.maxBufferBytes / 4);
      let error: unknown;
      for (let i = 0; i < 64 && error === undefined; i++) {
        try {
          for (let j = 0; j < 64; j++) scratch(backend, length);
          await backend.sync();
        } catch (caught) {
          error = caught;
        }
      }
      assert.instance(error, OutOfMemoryError);
      assert.match((error as OutOfMemoryError).call, /^allocate .* for scratch$/);
      backend.dispose();
    });
  }

  test("a dispatch that misses a name of its shader, or has one too many, is our bug and says which", async () => {
    const { backend } = await open();
    const y = scratch(backend);
    const workgroups = [1, 1, 1] as const;
    assert.throws(
      () => backend.dispatch({ shader: "fill", buffers: {}, params: { n: 4, bits: 1 }, workgroups }),
      /no buffer is given for y/,
    );
    assert.throws(() => backend.dispatch({ shader: "fill", buffers: { y }, params: { n: 4 }, workgroups }), /bits/);
    assert.throws(
      () => backend.dispatch({ shader: "fill", buffers: { y }, params: { n: 4, bits: 1, m: 2 }, workgroups }),
      /has no m/,
    );
    assert.throws(() => backend.dispatch({ shader: "fil", buffers: { y }, workgroups }), /no shader fil/);
    assert.throws(() => specialise(shaders.fill, { NOPE: 1 }), /no const NOPE/);
    backend.dispose();
  });
}

test.after(closeBackend);
test.run();
