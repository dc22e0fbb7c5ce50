// Meshes by name, and the layout that goes with each.

import type { Ledger } from "../../src/comm/ledger.ts";
import type { Rank } from "../../src/comm/loopback.ts";
import type { Layout } from "../../src/parallel/layout.ts";
import { Megatron } from "../../src/parallel/megatron.ts";
import { Serial } from "../../src/parallel/serial.ts";
import { Summa } from "../../src/parallel/summa.ts";
import type { MeshExtents } from "../../src/parallel/volume.ts";

export type NamedMesh = MeshExtents & { name: string };

export function mesh(layout: MeshExtents["layout"], dims: readonly number[]): NamedMesh {
  const [q, , d = 1] = dims.length === 1 ? [1, 1, 1] : dims;
  const size = dims.reduce((product, n) => product * n, 1);
  return { layout, size, q, d, name: `${layout} ${dims.join("x")}` };
}

export function layoutOn({ layout, q, d }: MeshExtents, options: Rank & { ledger?: Ledger }): Layout {
  if (layout === "serial") return new Serial(options.backend);
  if (layout === "2d" || layout === "2.5d") return new Summa({ ...options, q, d });
  return new Megatron({ ...options, sequenceParallel: layout === "1d-sp" });
}
