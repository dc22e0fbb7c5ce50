// From a GPUAdapter to a GPUDevice with all the adapter gives, and to words about it. Runs in the browser and
// in Node alike; where the adapter comes from is select.ts.

import type { AdapterInfo, SubgroupMatrix } from "../backend.ts";
import type { DeviceFacts } from "./plan.ts";
import { shaders } from "./shaders.ts";

/** Limits are 'default' unless asked for: 128 MiB a binding, 256 invocations a workgroup. */
const wantedLimits = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeWorkgroupsPerDimension",
] as const;

/** A GPU's units for products of small matrices. Chromium alone has the feature, and only where unsafe WebGPU is allowed. */
const matrixFeature = "chromium-experimental-subgroup-matrix";

const wantedFeatures = ["shader-f16", "subgroups", "timestamp-query", matrixFeature] as GPUFeatureName[];

/** What @webgpu/types does not know yet: objects of the browser's, with getters. */
interface MatrixInfo {
  readonly subgroupMatrixConfigs?: Iterable<
    Readonly<Record<"M" | "N" | "K", number> & Record<"componentType" | "resultComponentType", string>>
  >;
}

/** Drivers that run shaders on the CPU, as their names appear in vendor, architecture or description. */
const softwareNames = /llvmpipe|lavapipe|swiftshader|basic render|software/i;

/** What an adapter says of itself. */
export function describeAdapter(adapter: GPUAdapter): AdapterInfo {
  const { vendor, architecture, description, isFallbackAdapter, subgroupMinSize, subgroupMaxSize } = adapter.info;
  const name = description || [vendor, architecture].filter(Boolean).join(" ") || "unnamed adapter";
  const limits: Record<string, number> = {};
  for (const limit of wantedLimits) limits[limit] = adapter.limits[limit];
  limits.subgroupMinSize = subgroupMinSize ?? 0;
  limits.subgroupMaxSize = subgroupMaxSize ?? 0;
  const subgroupMatrices = matricesOf(adapter);
  return {
    description: name,
    vendor,
    architecture,
    software: isFallbackAdapter === true || softwareNames.test(`${vendor} ${architecture} ${description}`),
    features: [...adapter.features].sort(),
    limits,
    ...(subgroupMatrices.length > 0 && { subgroupMatrices }),
  };
}

function matricesOf({ info }: GPUAdapter): SubgroupMatrix[] {
  return [...((info as MatrixInfo).subgroupMatrixConfigs ?? [])].map(
    ({ M: m, N: n, K: k, componentType: component, resultComponentType: result }) => ({ m, n, k, component, result }),
  );
}

export interface OpenDevice {
  readonly device: GPUDevice;
  readonly info: AdapterInfo;
  /** the texts of shaders/ that plans for this device may take, by name */
  readonly sources: Readonly<Record<string, string>>;
}

/** Opens the adapter's device; an adapter gives one device only. */
export async function openDevice(adapter: GPUAdapter): Promise<OpenDevice> {
  const info = describeAdapter(adapter);
  const more = info.software ? (await import("./software-shaders.ts")).softwareShaders : {};
  const device = await adapter.requestDevice({
    label: "shardgrad",
    requiredLimits: Object.fromEntries(wantedLimits.map((limit) => [limit, info.limits[limit]])),
    requiredFeatures: wantedFeatures.filter((feature) => adapter.features.has(feature)),
  });
  const opened = { ...info, features: [...device.features].sort() };
  return { device, info: opened, sources: { ...shaders, ...more } };
}

export function deviceFacts(info: AdapterInfo): DeviceFacts {
  const { software, vendor, architecture, limits, features, subgroupMatrices: matrices = [] } = info;
  const { maxComputeInvocationsPerWorkgroup: maxInvocations, subgroupMinSize, subgroupMaxSize } = limits;
  const subgroupSize = features.includes("subgroups") && subgroupMinSize === subgroupMaxSize ? subgroupMaxSize : 0;
  const subgroupMatrices = features.includes(matrixFeature) && features.includes("subgroups") ? matrices : [];
  return { software, vendor, architecture, maxInvocations, subgroupSize, subgroupMaxSize, subgroupMatrices };
}
