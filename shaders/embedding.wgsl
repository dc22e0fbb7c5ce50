// y[t] (+)= table[ids[t] - rowOffset], 0 where that is outside [0, tableRows)
// grid: x over columns, y and z over rows; GROUP_ROWS rows a workgroup, ROW_THREADS threads a row
const ROW_THREADS: u32 = 32;
const GROUP_ROWS: u32 = 8;
const ACCUMULATE = false;

alias T = f32;

struct Params { rows: u32, cols: u32, tableRows: u32, rowOffset: i32 }

@group(0) @binding(0) var<storage, read> ids: array<i32>;
@group(0) @binding(1) var<storage, read> table: array<T>;
@group(0) @binding(2) var<storage, read_write> y: array<T>;
@group(0) @binding(3) var<uniform> params: Params;

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
  let entry = ids[row] - params.rowOffset;
  let inside = entry >= 0 && entry < i32(params.tableRows);
  if (ACCUMULATE && !inside) { return; }
  for (var c = first; c < params.cols; c += stride) {
    let i = row * params.cols + c;
    var value = 0.0;
    if (inside) { value = f32(table[u32(entry) * params.cols + c]); }
    if (ACCUMULATE) { y[i] = T(f32(y[i]) + value); } else { y[i] = T(value); }
  }
}
