// dx = (exp(x - max) / sums[0] - (col + colOffset == target)) scale dy[0]; 0 from validCols on
// grid: x over columns, y and z over rows; GROUP_ROWS rows a workgroup, ROW_THREADS threads a row
const ROW_THREADS: u32 = 32;
const GROUP_ROWS: u32 = 8;
const IN_PLACE = false; // dx holds x, and x is bound to another buffer: one buffer may not be read and written in a dispatch

alias X = f32;
alias DX = f32;

struct Params { rows: u32, cols: u32, validCols: u32, colOffset: i32, scale: f32 }

@group(0) @binding(0) var<storage, read> x: array<X>;
@group(0) @binding(1) var<storage, read> maxima: array<f32>;
@group(0) @binding(2) var<storage, read> sums: array<f32>;
@group(0) @binding(3) var<storage, read> targets: array<i32>;
@group(0) @binding(4) var<storage, read> dy: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<DX>;
@group(0) @binding(6) var<uniform> params: Params;

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
  let largest = maxima[row];
  let inverse = 1.0 / sums[2u * row];
  let label = targets[row] - params.colOffset;
  let factor = params.scale * dy[0];
  for (var c = first; c < params.cols; c += stride) {
    let i = row * params.cols + c;
    var value = 0.0;
    if (c < params.validCols) {
      var logit: f32;
      if (IN_PLACE) { logit = f32(dx[i]); } else { logit = f32(x[i]); }
      value = (exp(logit - largest) * inverse - select(0.0, 1.0, i32(c) == label)) * factor;
    }
    dx[i] = DX(value);
  }
}
