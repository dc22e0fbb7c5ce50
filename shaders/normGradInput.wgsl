// dx (+)= rstd (g - sums[0] / width - xhat sums[1] / width), g = dy gain, xhat = (x - mean) rstd
// grid: x over columns, y and z over rows; GROUP_ROWS rows a workgroup, ROW_THREADS threads a row
const ROW_THREADS: u32 = 32;
const GROUP_ROWS: u32 = 8;
const ACCUMULATE = false;

alias T = f32;

struct Params { rows: u32, cols: u32, width: u32, eps: f32 }

@group(0) @binding(0) var<storage, read> x: array<T>;
@group(0) @binding(1) var<storage, read> stats: array<f32>;
@group(0) @binding(2) var<storage, read> gain: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<T>;
@group(0) @binding(4) var<storage, read> sums: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<T>;
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
  let mean = stats[2u * row];
  let rstd = 1.0 / sqrt(stats[2u * row + 1u] / f32(params.width) + params.eps);
  let centre = sums[2u * row] / f32(params.width);
  let slope = rstd * sums[2u * row + 1u] / f32(params.width);
  for (var c = first; c < params.cols; c += stride) {
    let i = row * params.cols + c;
    let value = rstd * (f32(dy[i]) * gain[c] - centre - (f32(x[i]) - mean) * slope);
    if (ACCUMULATE) { dx[i] = T(f32(dx[i]) + value); } else { dx[i] = T(value); }
  }
}
