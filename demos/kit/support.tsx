// What this browser lacks, what that costs, and how to get it.

import type { VNode } from "preact";
import { Notice } from "./fields.tsx";

export interface Support {
  webgpu: boolean;
  /** threads that share memory: several for the cpu backend */
  sharedMemory: boolean;
  secure: boolean;
}

export const support = (): Support => ({
  webgpu: "gpu" in navigator,
  sharedMemory: globalThis.crossOriginIsolated === true,
  secure: globalThis.isSecureContext,
});

/** Says what is missing; nothing where nothing is. */
export function SupportNotice(): VNode | null {
  const { webgpu, sharedMemory, secure } = support();
  if (webgpu && sharedMemory) return null;
  if (!secure)
    return (
      <Notice kind="warn" title="This address gets no GPU">
        Browsers give WebGPU and shared memory only to pages that came over https or from this machine itself. Open the
        page by https, or as http://localhost, to have both; until then it computes on one thread of the processor, on
        smaller models.
      </Notice>
    );
  if (!webgpu)
    return (
      <Notice kind="warn" title="This browser has no WebGPU">
        The page computes on the processor instead, on smaller models. Current Chrome, Edge, Safari and Firefox have
        WebGPU; on Linux it may have to be turned on: chrome://flags, “Unsafe WebGPU”.
      </Notice>
    );
  return (
    <Notice title="One thread">
      This server does not isolate the page from others, so the processor's threads cannot share memory: where there is
      no GPU, the page computes on one. `npm run demo` serves it with the headers that change this.
    </Notice>
  );
}
