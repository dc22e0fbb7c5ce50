// maxima[row] = max of x[row, c] over c < validCols, -3.4e38 when there is none
// grid: GROUP_ROWS rows a workgroup, ROW_THREADS (a power of two) threads a row and a tree over their maxima
const ROW_THREADS: u32 = 32;
const GROUP_ROWS: u32 = 8;

alias T = f32;

struct Params { rows: u32, cols: u32, validCols: u32 }

@group(0) @binding(0) var<storage, read> x: array<T>;
@group(0) @binding(1) var<storage, read_write> maxima: array<f32>; // max is a function of WGSL
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> tree: array<f32, ROW_THREADS * GROUP_ROWS>;

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
  var largest = -3.4e38;
  for (var c = first; c < end; c += ROW_THREADS) { largest = max(largest, f32(x[row * params.cols + c])); }
  if (ROW_THREADS > 1u) {
    tree[lane] = largest;
    for (var half = ROW_THREADS / 2u; half > 0u; half /= 2u) {
      workgroupBarrier();
      if (first < half) { tree[lane] = max(tree[lane], tree[lane + half]); }
    }
    largest = tree[lane]; // the row's first thread wrote its own
  }
  if (first == 0u && row < params.rows) { maxima[row] = largest; }
}
