// The shaders that only software adapters take: pages with a GPU do not load them.

import attentionRows from "../../../shaders/attentionRows.wgsl";
import attentionRowsGradKV from "../../../shaders/attentionRowsGradKV.wgsl";
import attentionRowsGradQ from "../../../shaders/attentionRowsGradQ.wgsl";
import matmulLanes from "../../../shaders/matmulLanes.wgsl";
import matmulPack from "../../../shaders/matmulPack.wgsl";

export const softwareShaders: Readonly<Record<string, string>> = {
  attentionRows,
  attentionRowsGradKV,
  attentionRowsGradQ,
  matmulLanes,
  matmulPack,
};
