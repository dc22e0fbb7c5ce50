// Options that several commands share.

import { Option } from "commander";

export const backendOption = () =>
  new Option("--backend <name>", "what computes").choices(["auto", "webgpu", "cpu"]).default("auto");

export const jsonOption = () => new Option("--json", "JSON lines on stdout, words for people on stderr").default(false);
