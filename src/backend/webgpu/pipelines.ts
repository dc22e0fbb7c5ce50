// Compiled shaders by name and constants, with the bind group layout their own text declares.

import type { Call, Faults } from "./faults.ts";
import { type Constants, type ParamField, reflect, specialise } from "./specialise.ts";

export interface Pipeline {
  readonly id: number;
  readonly shader: string;
  readonly gpu: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  readonly storage: readonly { readonly name: string; readonly binding: number }[];
  readonly uniform: { readonly binding: number; readonly bytes: number } | undefined;
  readonly fields: readonly ParamField[];
}

export class Pipelines {
  #cache = new Map<string, Pipeline>();

  constructor(
    readonly device: GPUDevice,
    readonly faults: Faults,
    readonly sources: Readonly<Record<string, string>>,
  ) {}

  /** @throws Error when there is no such shader, or it has no such constant */
  get(shader: string, { constants, call }: { constants: Constants | undefined; call: Call }): Pipeline {
    let key = shader;
    for (const name in constants) key += ` ${name}=${constants[name]}`;
    const cached = this.#cache.get(key);
    if (cached) return cached;
    const made = this.#compile(shader, { constants, key, call });
    this.#cache.set(key, made);
    return made;
  }

  #compile(
    shader: string,
    { constants, key, call }: { constants: Constants | undefined; key: string; call: Call },
  ): Pipeline {
    const source = this.sources[shader];
    if (source === undefined) throw new Error(`no shader ${shader}.wgsl in shaders.ts`);
    const code = specialise(source, constants ?? {});
    const { storage, params } = reflect(code);
    const uniform = params && { binding: params.binding, bytes: 4 * params.fields.length };
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
        const layout = device.createBindGroupLayout({ label: key, entries });
        const gpu = device.createComputePipeline({
          label: key,
          layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
          compute: { module: device.createShaderModule({ label: key, code }), entryPoint: "main" },
        });
        return { id: this.#cache.size, shader, gpu, layout, storage, uniform, fields: params?.fields ?? [] };
      },
    });
  }
}

/** GPUShaderStage's value: the global is missing in Node. */
const GPUShaderStageFlag = { compute: 0x4 } as const;
