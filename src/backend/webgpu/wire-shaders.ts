// What packHalf and unpackHalf run.

import packHalf from "../../../shaders/packHalf.wgsl";
import unpackHalf from "../../../shaders/unpackHalf.wgsl";
import { extraShaders } from "./extra-shaders.ts";

/** To be called before either kernel is. */
export function bringWireShaders(): void {
  Object.assign(extraShaders, { packHalf, unpackHalf });
}
