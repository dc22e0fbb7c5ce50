// What a training step costs the thread that encodes it, by dispatch: tape, ops, checks, plans, bind groups, uniforms, passes, submits
// and garbage, on Dawn's null device, which accepts everything and runs nothing. Beside it, interleaved, Dawn's own part: the calls on
// passes and queue that a step made, made again.

import { readFileSync } from "node:fs";
import { create } from "webgpu";
import { WebGpuBackend } from "../src/backend/webgpu/backend.ts";
import { openDevice } from "../src/backend/webgpu/device.ts";
import { AdamW, Model, parseModelConfig, Serial, Tape } from "../src/index.ts";
import { summary } from "./harness.ts";
import type { Options } from "./options.ts";

/** CPU nanoseconds of this thread alone where Linux tells them, else of the process, which has Dawn's and the collector's threads too. */
function cpuNs(): number {
  try {
    return Number(readFileSync("/proc/thread-self/schedstat", "utf8").split(" ", 1)[0]);
  } catch {
    const { user, system } = process.cpuUsage();
    return 1e3 * (user + system);
  }
}

export async function benchEncode({ steps, repeats, arch, json }: Options): Promise<void> {
  // Dawn crashes when this object is collected, so it is held for the life of the process.
  const gpu = create(["backend=null"]);
  Object.assign(globalThis, { heldGpu: gpu });
  const adapter = await gpu.requestAdapter();
  if (!adapter) throw new Error("Dawn has no null adapter");
  const { device, info, sources } = await openDevice(adapter);
  const backend = new WebGpuBackend({ device, info, sources });

  /** Calls of one step that reach the device, noted on Dawn's own classes. */
  const restore: (() => void)[] = [];
  function note(owner: object, name: string, called: (args: readonly unknown[]) => void): void {
    const prototype = Object.getPrototypeOf(owner);
    const original = prototype[name];
    prototype[name] = function (...args: unknown[]) {
      called(args);
      return original.apply(this, args);
    };
    restore.push(() => {
      prototype[name] = original;
    });
  }

  const [batch, context] = [12, 64];
  const model = new Model(backend, {
    config: parseModelConfig(
      arch === "gpt2"
        ? {
            model_type: "gpt2",
            vocab_size: 65,
            n_positions: context,
            n_embd: 128,
            n_layer: 4,
            n_head: 4,
            activation_function: "gelu",
            bias: false,
          }
        : {
            model_type: "llama",
            vocab_size: 65,
            max_position_embeddings: context,
            hidden_size: 128,
            intermediate_size: 352,
            num_hidden_layers: 4,
            num_attention_heads: 4,
            num_key_value_heads: 2,
          },
    ),
    layout: new Serial(backend),
    seed: 1,
  });
  const optimizer = new AdamW(backend, {
    layout: model.layout,
    parameters: model.parameters,
    ...{ beta1: 0.9, beta2: 0.99, eps: 1e-8, weightDecay: 0.1, clip: 1 },
  });
  const [tokens, targets] = [3, 5].map((factor) =>
    Int32Array.from({ length: batch * context }, (_, index) => (factor * index) % 65),
  );

  async function step(): Promise<void> {
    using tape = new Tape(backend, { recording: true });
    const sequence = { batch, tokens: context, offset: 0 };
    await tape.backward(await model.loss(tape, { tokens, targets, sequence, scale: 1 / (batch * context) }));
    const gradients = await model.layout.reduceGradients(model.parameters);
    await optimizer.step({ gradients, learningRate: 1e-3 });
    await optimizer.normSquared.read();
  }

  for (let i = 0; i < steps; i++) await step(); // compiles the code, fills pools and caches
  const counts = { dispatches: 0, submits: 0, bindGroups: 0 };
  const passCalls: ((pass: GPUComputePassEncoder) => void)[][] = [[]];
  const uploads: number[] = [];
  const pass = device.createCommandEncoder().beginComputePass();
  const inPass = (call: (pass: GPUComputePassEncoder) => void) => passCalls.at(-1)?.push(call);
  note(pass, "setPipeline", ([pipeline]) => inPass((pass) => pass.setPipeline(pipeline as GPUComputePipeline)));
  note(pass, "setBindGroup", ([index, group, offsets]) => {
    const [at, bound, from] = [index as number, group as GPUBindGroup, [...((offsets as number[] | undefined) ?? [])]];
    inPass((pass) => pass.setBindGroup(at, bound, from));
  });
  note(pass, "dispatchWorkgroups", ([x, y, z]) => {
    counts.dispatches++;
    inPass((pass) => pass.dispatchWorkgroups(x as number, y as number, z as number));
  });
  note(device.queue, "writeBuffer", ([, , , , bytes]) => uploads.push(bytes as number));
  note(device.queue, "submit", () => {
    counts.submits++;
    passCalls.push([]);
  });
  note(device, "createBindGroup", () => counts.bindGroups++);
  await step();
  for (const undo of restore) undo();

  const sink = device.createBuffer({ size: Math.max(...uploads), usage: 0x8 });
  const host = new ArrayBuffer(sink.size);
  function dawnAlone(): void {
    for (const bytes of uploads) device.queue.writeBuffer(sink, 0, host, 0, bytes);
    for (const calls of passCalls) {
      if (calls.length === 0) continue;
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      for (const call of calls) call(pass);
      pass.end();
      device.queue.submit([encoder.finish()]);
    }
  }

  const times = { step: [] as number[], dawn: [] as number[] };
  for (let repeat = 0; repeat < repeats; repeat++) {
    let before = cpuNs();
    for (let i = 0; i < steps; i++) await step();
    times.step.push((cpuNs() - before) / steps / 1e6);
    before = cpuNs();
    for (let i = 0; i < steps; i++) dawnAlone();
    times.dawn.push((cpuNs() - before) / steps / 1e6);
  }
  const [whole, dawn] = [summary(times.step), summary(times.dawn)];
  const perDispatch = (ms: number) => (1e3 * ms) / counts.dispatches;
  if (json) {
    const each = { perDispatchUs: perDispatch(whole.medianMs), dawnPerDispatchUs: perDispatch(dawn.medianMs) };
    console.log(JSON.stringify({ name: `encoding, ${arch}`, ...counts, ...each, step: whole, dawn, repeats }));
  } else {
    const us = (ms: number) => (1e3 * ms).toFixed(0);
    console.log(
      `${arch}: ${counts.dispatches} dispatches, ${counts.submits} submits, ${counts.bindGroups} new bind groups a step; median of ${repeats} x ${steps} steps`,
    );
    for (const [name, { medianMs, fastestMs, slowestMs }] of [
      ["CPU time of a step", whole],
      ["of which Dawn's calls", dawn],
    ] as const)
      console.log(
        `${name.padEnd(22)} ${us(medianMs).padStart(6)} us (${us(fastestMs)} to ${us(slowestMs)})  ${perDispatch(medianMs).toFixed(2).padStart(6)} us a dispatch`,
      );
  }
  sink.destroy();
  optimizer.dispose();
  model.dispose();
  backend.dispose();
}
