// stats[row] = (mean, sum of (x - mean)^2) (LAYER), or (0, sum of x^2); in two passes, as E[x^2] - E[x]^2 cancels
// grid: GROUP_ROWS rows a workgroup, ROW_THREADS (a power of two) threads a row and a tree over their sums
const ROW_THREADS: u32 = 32;
const GROUP_ROWS: u32 = 8;
const LAYER = true;

alias T = f32;

struct Params { rows: u32, cols: u32 }

@group(0) @binding(0) var<storage, read> x: array<T>;
@group(0) @binding(1) var<storage, read_write> stats: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

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
  var mean = 0.0;
  if (LAYER) {
    var sum = 0.0;
    for (var c = first; c < end; c += ROW_THREADS) { sum += f32(x[row * params.cols + c]); }
    mean = rowSum(sum, lane) / f32(params.cols);
  }
  var squares = 0.0;
  for (var c = first; c < end; c += ROW_THREADS) {
    let centred = f32(x[row * params.cols + c]) - mean;
    squares += centred * centred;
  }
  squares = rowSum(squares, lane);
  if (first == 0u && row < params.rows) {
    stats[2u * row] = mean;
    stats[2u * row + 1u] = squares;
  }
}
