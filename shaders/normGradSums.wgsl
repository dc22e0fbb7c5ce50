// sums[row] = (sum of g (LAYER, else 0), sum of g xhat), g = dy gain, xhat = (x - mean) rstd
// grid: GROUP_ROWS rows a workgroup, ROW_THREADS (a power of two) threads a row and a tree over their sums
const ROW_THREADS: u32 = 32;
const GROUP_ROWS: u32 = 8;
const LAYER = true;

alias T = f32;

struct Params { rows: u32, cols: u32, width: u32, eps: f32 }

@group(0) @binding(0) var<storage, read> x: array<T>;
@group(0) @binding(1) var<storage, read> stats: array<f32>;
@group(0) @binding(2) var<storage, read> gain: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<T>;
@group(0) @binding(4) var<storage, read_write> sums: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

var<workgroup> tree: array<f32, ROW_THREADS * GROUP_ROWS>;

fn rowSum(value: f32, lane: u32) -> f32 {
  if (ROW_THREADS == 1u) { return value; }
  workgroupBarrier(); // the last sum has been read
  tree[lane] = value;
  for (var half = ROW_THREADS / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane % ROW_THREADS < half) { tree[lane] += tree[lane + half]; }
  }
  workgroupBarrier();
  return tree[lane - lane % ROW_THREADS];
}

@compute @workgroup_size(ROW_THREADS * GROUP_ROWS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (group.y * groups.x + group.x) * GROUP_ROWS + lane / ROW_THREADS;
  let first = lane % ROW_THREADS;
  // threads beyond the last row stay for the barriers
  let end = select(0u, params.cols, row < params.rows);
  let mean = stats[2u * min(row, params.rows - 1u)];
  var sum = 0.0;
  var product = 0.0;
  for (var c = first; c < end; c += ROW_THREADS) {
    let i = row * params.cols + c;
    let g = f32(dy[i]) * gain[c];
    sum += g;
    product += g * (f32(x[i]) - mean);
  }
  product = rowSum(product, lane);
  if (LAYER) { sum = rowSum(sum, lane); }
  if (first == 0u && row < params.rows) {
    let rstd = 1.0 / sqrt(stats[2u * row + 1u] / f32(params.width) + params.eps);
    sums[2u * row] = select(0.0, sum, LAYER);
    sums[2u * row + 1u] = product * rstd;
  }
}
