// How f32 travels between ranks, as given on the command line.

import { type Command, Option } from "commander";
import type { FloatType } from "../backend/buffer.ts";

export interface WireFlags {
  wire: FloatType;
}

/** The figures: nanoGPT's CPU recipe, 2.5d on 2 x 2 x 2 ranks, cpu backend, seeds 1337 and 1. */
const help =
  "how f32 travels between ranks; f16: half the bytes of activations, weights and gradients, each rounded to 11 bits, which in 200 steps of nanoGPT's CPU recipe on 2x2x2 ranks changed no loss by more than 3.5e-5 of it. Of --dtype f16 it halves what is left in f32, the gradients of weights";

export const addWireOption = (command: Command): Command =>
  command.addOption(new Option("--wire <type>", help).choices(["f32", "f16"]).default("f32"));

/** ", f16 on the wire", behind what says how ranks are laid out; nothing for f32. */
export const wireText = (wire: FloatType | undefined): string => (wire === "f16" ? ", f16 on the wire" : "");
