// Compiled shaders by name, constants and element types, with the bind group layout their own text declares.

import { extraShaders } from "./extra-shaders.ts";
import type { Call, Faults } from "./faults.ts";
import type { Dispatch } from "./plan.ts";
import { type Constants, type ParamField, reflect, specialise, withHalves } from "./specialise.ts";

export interface Pipeline {
  readonly id: number;
  readonly shader: string;
  readonly gpu: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  readonly storage: readonly { readonly name: string; readonly binding: number }[];
  readonly uniform: { readonly binding: number; readonly bytes: number } | undefined;
  readonly fields: readonly ParamField[];
}

/** Bytes of a uniform struct at most: room for 64 scalars. */
export const uniformBytes = 256;

export class Pipelines {
  /** of each shader, with the constants and types each was made for: few, so that comparing them is faster than making a key */
  #variants = new Map<string, { constants: Constants | undefined; halves: string; pipeline: Pipeline }[]>();
  #count = 0;

  constructor(
    readonly device: GPUDevice,
    readonly faults: Faults,
    readonly sources: Readonly<Record<string, string>>,
  ) {}

  /** The pipeline for a dispatch's shader, constants and types of buffers.
   *  @throws Error when there is no such shader, or it lacks a name that the dispatch gives */
  get(dispatch: Dispatch, call: Call): Pipeline {
    const { shader, constants, buffers } = dispatch;
    const halves = halvesOf(buffers);
    let variants = this.#variants.get(shader);
    if (variants)
      for (const made of variants)
        if (made.halves === halves && sameConstants(made.constants, constants)) return made.pipeline;
    const pipeline = this.#compile(shader, { constants, halves, call });
    // A plan's mistake is the same in every call.
    checkNames(pipeline, dispatch);
    if (!variants) {
      variants = [];
      this.#variants.set(shader, variants);
    }
    variants.push({ constants, halves, pipeline });
    return pipeline;
  }

  #compile(
    shader: string,
    { constants, halves, call }: { constants: Constants | undefined; halves: string; call: Call },
  ): Pipeline {
    const source = this.sources[shader] ?? extraShaders[shader];
    if (source === undefined) throw new Error(`no shader ${shader}.wgsl in shaders.ts`);
    const specialised = specialise(source, constants ?? {});
    const code = halves === "" ? specialised : withHalves(specialised, halves.trim().split(" "));
    const { storage, params } = reflect(code);
    const uniform = params && { binding: params.binding, bytes: 4 * params.fields.length };
    if (uniform && uniform.bytes > uniformBytes)
      throw new Error(`${shader}.wgsl: Params has more than ${uniformBytes / 4} fields`);
    const given = Object.entries(constants ?? {}).map(([name, value]) => `${name}=${value}`);
    const label = [shader, ...given, ...(halves === "" ? [] : [`${halves}f16`])].join(" ");
    const entries: GPUBindGroupLayoutEntry[] = storage.map(({ binding, access }) => ({
      binding,
      visibility: GPUShaderStageFlag.compute,
      buffer: { type: access === "read" ? "read-only-storage" : "storage" },
    }));
    if (uniform)
      entries.push({
        binding: uniform.binding,
        visibility: GPUShaderStageFlag.compute,
        buffer: { type: "uniform", hasDynamicOffset: true, minBindingSize: uniform.bytes },
      });
    const device = this.device;
    return this.faults.scope(call, {
      filters: ["internal", "out-of-memory", "validation"],
      body: () => {
        const layout = device.createBindGroupLayout({ label, entries });
        const gpu = device.createComputePipeline({
          label,
          layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
          compute: { module: device.createShaderModule({ label, code }), entryPoint: "main" },
        });
        return { id: this.#count++, shader, gpu, layout, storage, uniform, fields: params?.fields ?? [] };
      },
    });
  }
}

/** GPUShaderStage's value: the global is missing in Node. */
const GPUShaderStageFlag = { compute: 0x4 } as const;

/** The names of the buffers that hold f16, a blank behind each; none are the usual case. */
function halvesOf(buffers: Dispatch["buffers"]): string {
  let names = "";
  for (const name in buffers) if (buffers[name]?.dtype === "f16") names += `${name} `;
  return names;
}

/** Whether both set the same constants to the same values; a shader's plan names the same ones in every call. */
function sameConstants(a: Constants | undefined, b: Constants | undefined): boolean {
  if (a === b || !a || !b) return a === b;
  for (const name in b) if (a[name] !== b[name]) return false;
  for (const name in a) if (!(name in b)) return false;
  return true;
}

/** @throws Error when a dispatch gives names that its shader does not have */
export function checkNames({ shader, storage, fields }: Pipeline, { buffers, params }: Dispatch): void {
  const has = [...storage, ...fields].map(({ name }) => name);
  const given = [...Object.keys(buffers), ...Object.keys(params ?? {})];
  const unknown = given.filter((name) => !has.includes(name));
  if (unknown.length > 0) throw new Error(`${shader}.wgsl has no ${unknown.join(", ")}; it has ${has.join(", ")}`);
}
