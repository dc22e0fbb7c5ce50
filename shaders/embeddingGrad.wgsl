// dtable[unique[s] - rowOffset] += sum over p in [starts[s], starts[s + 1]) of dy[order[p]]: each entry has one writer, so no atomics
// grid: x over columns, y and z over rows; GROUP_ROWS rows a workgroup, ROW_THREADS threads a row
const ROW_THREADS: u32 = 32;
const GROUP_ROWS: u32 = 8;

alias T = f32;

struct Params { rows: u32, cols: u32, tableRows: u32, rowOffset: i32 }

@group(0) @binding(0) var<storage, read> unique: array<i32>;
@group(0) @binding(1) var<storage, read> starts: array<i32>;
@group(0) @binding(2) var<storage, read> order: array<i32>;
@group(0) @binding(3) var<storage, read> dy: array<T>;
@group(0) @binding(4) var<storage, read_write> dtable: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

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
  let entry = unique[row] - params.rowOffset;
  if (entry < 0 || entry >= i32(params.tableRows)) { return; }
  let begin = u32(starts[row]);
  let end = u32(starts[row + 1u]);
  for (var c = first; c < params.cols; c += stride) {
    var total = 0.0;
    for (var p = begin; p < end; p++) { total += f32(dy[u32(order[p]) * params.cols + c]); }
    dtable[u32(entry) * params.cols + c] += total;
  }
}
