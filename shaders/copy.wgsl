// y[yOffset + i . yStrides] = x[xOffset + i . xStrides] for every index i of a 4-dim shape, its first three dims taken as rows;
// typed u32 so that the bits of any element survive
// grid: x over columns, y and z over rows; GROUP_ROWS rows a workgroup, ROW_THREADS threads a row
const ROW_THREADS: u32 = 32;
const GROUP_ROWS: u32 = 8;

alias T = u32; // bits move as they are

struct Params {
  rows: u32,
  cols: u32,
  dim1: u32,
  dim2: u32,
  xStride0: u32,
  xStride1: u32,
  xStride2: u32,
  xStride3: u32,
  xOffset: u32,
  yStride0: u32,
  yStride1: u32,
  yStride2: u32,
  yStride3: u32,
  yOffset: u32,
}

@group(0) @binding(0) var<storage, read> x: array<T>;
@group(0) @binding(1) var<storage, read_write> y: array<T>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(ROW_THREADS * GROUP_ROWS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (group.z * groups.y + group.y) * GROUP_ROWS + lane / ROW_THREADS;
  if (row >= params.rows) { return; }
  let first = group.x * ROW_THREADS + lane % ROW_THREADS;
  let stride = ROW_THREADS * groups.x;
  let i2 = row % params.dim2;
  let i1 = row / params.dim2 % params.dim1;
  let i0 = row / params.dim2 / params.dim1;
  let source = params.xOffset + i0 * params.xStride0 + i1 * params.xStride1 + i2 * params.xStride2;
  let sink = params.yOffset + i0 * params.yStride0 + i1 * params.yStride1 + i2 * params.yStride2;
  for (var c = first; c < params.cols; c += stride) { y[sink + c * params.yStride3] = x[source + c * params.xStride3]; }
}
