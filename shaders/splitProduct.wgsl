// parts[z, s, m, n] = the s-th stretch of op(a)[z, m, k] op(b)[z, k, n]: `span` of the k terms. For products of few outputs and many terms
// each, which would leave most of a GPU idle; splitSum.wgsl adds the stretches. A thread keeps 4 x 4 outputs.
// Grid: 2-D over the tiles of 4 THREADS_Y x 4 THREADS_X outputs of every stretch.

const TRANSPOSE_A: bool = false;
const TRANSPOSE_B: bool = false;
const THREADS_X: u32 = 8u;
const THREADS_Y: u32 = 8u;

alias T = f32;

struct Params {
  m: u32,
  n: u32,
  k: u32,
  rowTiles: u32,
  columnTiles: u32,
  tiles: u32,
  slices: u32,
  span: u32,
}

@group(0) @binding(0) var<storage, read> a: array<T>;
@group(0) @binding(1) var<storage, read> b: array<T>;
@group(0) @binding(2) var<storage, read_write> parts: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

fn store(row: u32, first: u32, columns: vec4u, sum: vec4f) {
  if (row >= params.m) {
    return;
  }
  for (var j = 0u; j < 4u; j++) {
    if (columns[j] < params.n) {
      parts[(first + row) * params.n + columns[j]] = sum[j];
    }
  }
}

@compute @workgroup_size(THREADS_X, THREADS_Y)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
  @builtin(local_invocation_id) thread: vec3u,
) {
  let tile = workgroup.y * workgroups.x + workgroup.x;
  if (tile >= params.tiles) {
    return;
  }
  let m = params.m;
  let n = params.n;
  let k = params.k;
  // z slices + s
  let slice = tile / (params.rowTiles * params.columnTiles);
  let z = slice / params.slices;
  let start = slice % params.slices * params.span;
  let end = min(start + params.span, k);
  let row = ((tile / params.columnTiles % params.rowTiles) * THREADS_Y + thread.y) * 4u;
  let columns = (tile % params.columnTiles) * THREADS_X * 4u + thread.x + vec4u(0u, 1u, 2u, 3u) * THREADS_X;
  let stepA = select(1u, m, TRANSPOSE_A);
  let stepB = select(n, 1u, TRANSPOSE_B);
  // Rows and columns past the edge repeat the last one, and are not stored.
  var ia = z * m * k + start * stepA + min(row + vec4u(0u, 1u, 2u, 3u), vec4u(m - 1u)) * select(k, 1u, TRANSPOSE_A);
  var ib = z * n * k + start * stepB + min(columns, vec4u(n - 1u)) * select(1u, k, TRANSPOSE_B);
  var c0 = vec4f();
  var c1 = vec4f();
  var c2 = vec4f();
  var c3 = vec4f();
  for (var q = start; q < end; q++) {
    let v = vec4f(vec4<T>(b[ib.x], b[ib.y], b[ib.z], b[ib.w]));
    c0 += f32(a[ia.x]) * v;
    c1 += f32(a[ia.y]) * v;
    c2 += f32(a[ia.z]) * v;
    c3 += f32(a[ia.w]) * v;
    ia += vec4u(stepA);
    ib += vec4u(stepB);
  }
  let first = slice * m;
  store(row, first, columns, c0);
  store(row + 1u, first, columns, c1);
  store(row + 2u, first, columns, c2);
  store(row + 3u, first, columns, c3);
}
