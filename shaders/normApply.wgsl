// y = (x - mean) rstd gain + bias, rstd = 1 / sqrt(stats[1] / width + eps)
// grid: x over columns, y and z over rows; GROUP_ROWS rows a workgroup, ROW_THREADS threads a row
const ROW_THREADS: u32 = 32;
const GROUP_ROWS: u32 = 8;
const HAS_BIAS = true; // without: bias is bound to the gain

alias T = f32;

struct Params { rows: u32, cols: u32, width: u32, eps: f32 }

@group(0) @binding(0) var<storage, read> x: array<T>;
@group(0) @binding(1) var<storage, read> stats: array<f32>;
@group(0) @binding(2) var<storage, read> gain: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<T>;
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
  let mean = stats[2u * row];
  let rstd = 1.0 / sqrt(stats[2u * row + 1u] / f32(params.width) + params.eps);
  for (var c = first; c < params.cols; c += stride) {
    let i = row * params.cols + c;
    var value = (f32(x[i]) - mean) * rstd * gain[c];
    if (HAS_BIAS) { value += bias[c]; }
    y[i] = T(value);
  }
}
