// Options that several commands share.

import { type Command, Option } from "commander";
import { type LayoutName, layoutNames, type MeshShape, meshShape, parseMesh } from "../parallel/shape.ts";

export const backendOption = () =>
  new Option("--backend <name>", "what computes").choices(["auto", "webgpu", "cpu"]).default("auto");

export const jsonOption = () => new Option("--json", "JSON lines on stdout, words for people on stderr").default(false);

/** How ranks share the work, as given on the command line. */
export interface MeshFlags {
  layout?: LayoutName;
  mesh?: string;
}

export function addMeshOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        "--layout <name>",
        "how ranks share a model (default: serial; with --mesh, what its axes say)",
      ).choices(layoutNames),
    )
    .option("--mesh <ranks>", "P ranks for 1d and 1d-sp, q x q for 2d, q x q x d for 2.5d: 8, 2x2, 2x2x2");
}

/** @throws UserError when layout and mesh do not fit each other */
export const shapeOf = ({ layout, mesh }: MeshFlags): MeshShape =>
  meshShape({ layout, dims: mesh === undefined ? undefined : parseMesh(mesh) });
