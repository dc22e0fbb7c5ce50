// y[col] (+)= sum over rows of x[row, col]
// grid: TILE_COLS columns a workgroup; TILE_ROWS (a power of two) threads a column, each with every TILE_ROWS-th row, and a
// tree over their sums
const TILE_COLS: u32 = 16;
const TILE_ROWS: u32 = 16;
// rows a thread adds up before it adds them to its total: errors grow with rows / BLOCK + BLOCK instead of rows
const BLOCK: u32 = 32;
const ACCUMULATE = false;

alias T = f32;

struct Params { rows: u32, cols: u32 }

@group(0) @binding(0) var<storage, read> x: array<T>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

fn term(row: u32, col: u32) -> f32 {
  return f32(x[row * params.cols + col]);
}

var<workgroup> tree: array<f32, TILE_COLS * TILE_ROWS>;

@compute @workgroup_size(TILE_COLS * TILE_ROWS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let col = (group.y * groups.x + group.x) * TILE_COLS + lane % TILE_COLS;
  let slice = lane / TILE_COLS;
  // threads beyond the last column stay for the barriers
  let rows = select(0u, params.rows, col < params.cols);
  var total = 0.0;
  for (var block = slice; block < rows; block += TILE_ROWS * BLOCK) {
    let end = min(block + TILE_ROWS * BLOCK, rows);
    var part = 0.0;
    for (var row = block; row < end; row += TILE_ROWS) { part += term(row, col); }
    total += part;
  }
  if (TILE_ROWS > 1u) {
    tree[lane] = total;
    for (var half = TILE_ROWS / 2u; half > 0u; half /= 2u) {
      workgroupBarrier();
      if (slice < half) { tree[lane] += tree[lane + half * TILE_COLS]; }
    }
    total = tree[lane]; // slice 0 wrote its own
  }
  if (slice == 0u && col < params.cols) {
    if (ACCUMULATE) { y[col] += total; } else { y[col] = total; }
  }
}
