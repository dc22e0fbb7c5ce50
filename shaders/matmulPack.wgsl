// packed = x [batch, rows, k], or [batch, k, rows], as matmulLanes.wgsl reads it front to back: [batch, tiles, k, ROWS]. The last tile
// repeats the last row. Read where it lies, each row of x is a cache line of its own, and at strides of a power of two they push each other out.
// A workgroup moves 16 rows in STRETCH of k: its 8 threads 4 rows each, 4 of k at a time. Grid: 2-D over the stretches of all 16 rows.

/// rows a tile, a multiple of 16
const ROWS: u32 = 32u;
const STRETCH: u32 = 256u;
/// x is [batch, rows, k]; else it is [batch, k, rows], and rows is a multiple of 4
const ALONG: bool = true;

alias T = f32;

struct Params {
  rows: u32,
  // a multiple of 4
  k: u32,
  // of all batches
  stretches: u32,
  // a batch
  tiles: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<T>>;
@group(0) @binding(1) var<storage, read_write> packed: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let stretch = workgroup.y * workgroups.x + workgroup.x;
  if (stretch >= params.stretches) { return; }
  let rows = params.rows;
  let k = params.k;
  let stretchesEach = (k + STRETCH - 1u) / STRETCH;
  let first = stretch % stretchesEach * STRETCH;
  let sixteens = params.tiles * (ROWS / 16u);
  let z = stretch / stretchesEach / sixteens;
  let row = 16u * (stretch / stretchesEach % sixteens) + 4u * (thread % 4u);
  let along = (z * rows + min(row + vec4u(0u, 1u, 2u, 3u), vec4u(rows - 1u))) * (k / 4u);
  let step = rows / 4u;
  let across = z * k * step + min(row / 4u, max(step, 1u) - 1u);
  let to = (z * params.tiles + row / ROWS) * k * (ROWS / 4u) + row % ROWS / 4u;
  for (var q = first + 4u * (thread / 4u); q < min(first + STRETCH, k); q += 8u) {
    var four: mat4x4f;
    if (ALONG) {
      let i = along + q / 4u;
      four = transpose(mat4x4f(vec4f(x[i.x]), vec4f(x[i.y]), vec4f(x[i.z]), vec4f(x[i.w])));
    } else {
      let i = across + q * step;
      four = mat4x4f(vec4f(x[i]), vec4f(x[i + step]), vec4f(x[i + 2u * step]), vec4f(x[i + 3u * step]));
    }
    let o = to + q * (ROWS / 4u);
    packed[o] = four[0];
    packed[o + ROWS / 4u] = four[1];
    packed[o + ROWS / 2u] = four[2];
    packed[o + 3u * ROWS / 4u] = four[3];
  }
}
