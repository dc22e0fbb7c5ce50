// y[z, m, n] (+)= op(a)[z, m, k] op(b)[z, k, n] + bias[n] for any shape: a thread keeps 4 x 4 outputs, 8 columns apart, and loads
// scalars. What the faster kernels refuse for its strides comes here.
// Grid: 2-D over the tiles of 32 x 32 outputs; workgroups of 8 x 8 threads.

const TRANSPOSE_A: bool = false;
const TRANSPOSE_B: bool = false;

alias T = f32;
alias Y = f32;

struct Params {
  m: u32,
  n: u32,
  k: u32,
  rowTiles: u32,
  columnTiles: u32,
  tiles: u32,
  // 0 or 1: uniform branches at the store cost nothing, a pipeline for each would cost a second of compilation.
  accumulate: u32,
  hasBias: u32,
}

@group(0) @binding(0) var<storage, read> a: array<T>;
@group(0) @binding(1) var<storage, read> b: array<T>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<Y>;
@group(0) @binding(4) var<uniform> params: Params;

fn store(row: u32, first: u32, columns: vec4u, sum: vec4f) {
  if (row >= params.m) {
    return;
  }
  for (var j = 0u; j < 4u; j++) {
    let column = columns[j];
    if (column < params.n) {
      var value = sum[j];
      if (params.hasBias == 1u) {
        value += bias[column];
      }
      let at = (first + row) * params.n + column;
      if (params.accumulate == 1u) {
        value += f32(y[at]);
      }
      y[at] = Y(value);
    }
  }
}

@compute @workgroup_size(8, 8)
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
  let z = tile / (params.rowTiles * params.columnTiles);
  let row = (tile / params.columnTiles % params.rowTiles) * 32u + thread.y * 4u;
  let columns = (tile % params.columnTiles) * 32u + thread.x + vec4u(0u, 8u, 16u, 24u);
  let stepA = select(1u, m, TRANSPOSE_A);
  let stepB = select(n, 1u, TRANSPOSE_B);
  // Rows and columns past the edge repeat the last one, and are not stored.
  var ia = z * m * k + min(row + vec4u(0u, 1u, 2u, 3u), vec4u(m - 1u)) * select(k, 1u, TRANSPOSE_A);
  var ib = z * n * k + min(columns, vec4u(n - 1u)) * select(1u, k, TRANSPOSE_B);
  var c0 = vec4f();
  var c1 = vec4f();
  var c2 = vec4f();
  var c3 = vec4f();
  for (var q = 0u; q < k; q++) {
    let v = vec4f(vec4<T>(b[ib.x], b[ib.y], b[ib.z], b[ib.w]));
    c0 += f32(a[ia.x]) * v;
    c1 += f32(a[ia.y]) * v;
    c2 += f32(a[ia.z]) * v;
    c3 += f32(a[ia.w]) * v;
    ia += vec4u(stepA);
    ib += vec4u(stepB);
  }
  let first = z * m;
  store(row, first, columns, c0);
  store(row + 1u, first, columns, c1);
  store(row + 2u, first, columns, c2);
  store(row + 3u, first, columns, c3);
}
