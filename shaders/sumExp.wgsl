// sums[row] = (sum of exp(x - max) over c < validCols, x at the target or 0 when it is not among them)
// grid: GROUP_ROWS rows a workgroup, ROW_THREADS (a power of two) threads a row and a tree over their sums
const ROW_THREADS: u32 = 32;
const GROUP_ROWS: u32 = 8;

alias T = f32;

struct Params { rows: u32, cols: u32, validCols: u32, colOffset: i32 }

@group(0) @binding(0) var<storage, read> x: array<T>;
@group(0) @binding(1) var<storage, read> maxima: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<i32>;
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

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

// A device may take exp(NaN) for infinity, and assume that floats are never NaN: so by their bits.
fn expOrNaN(v: f32) -> f32 {
  return select(exp(v), v, (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u);
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
  let end = select(0u, params.validCols, row < params.rows);
  let largest = maxima[min(row, params.rows - 1u)];
  var sum = 0.0;
  for (var c = first; c < end; c += ROW_THREADS) { sum += expOrNaN(f32(x[row * params.cols + c]) - largest); }
  sum = rowSum(sum, lane);
  if (first == 0u && row < params.rows) {
    let label = targets[row] - params.colOffset;
    var logit = 0.0;
    if (label >= 0 && label < i32(params.validCols)) { logit = f32(x[row * params.cols + u32(label)]); }
    sums[2u * row] = sum;
    sums[2u * row + 1u] = logit;
  }
}
