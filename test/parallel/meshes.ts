// Meshes with a name for tests' titles, and the layout that goes with each.

import type { Backend } from "../../src/backend/backend.ts";
import type { Layout } from "../../src/parallel/layout.ts";
import type { Communication } from "../../src/parallel/mesh.ts";
import { createLayout, type LayoutName, type MeshShape, meshShape } from "../../src/parallel/shape.ts";

export type NamedMesh = MeshShape & { name: string };

export const mesh = (layout: LayoutName, dims: readonly number[]): NamedMesh => ({
  ...meshShape({ layout, dims }),
  name: `${layout} ${dims.join("x")}`,
});

export const layoutOn = (shape: MeshShape, rank: Communication & { backend: Backend }): Layout =>
  createLayout(shape, rank);
