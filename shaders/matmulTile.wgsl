// y[z, m, n] (+)= op(a)[z, m, k] op(b)[z, k, n] + bias[n] by 64 x 64 tiles in workgroup memory, 16 deep: for GPUs. A thread keeps
// 8 rows x 1 vec4.
// Grid: 2-D over the tiles. n a multiple of 4; so are k unless a is transposed and b is not, and m if a is transposed.
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

@group(0) @binding(0) var<storage, read> a: array<vec4<T>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<T>>;
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<Y>>;
@group(0) @binding(4) var<uniform> params: Params;

// [16 deep, 16 vec4 of rows] and [16 deep, 16 vec4 of columns].
var<workgroup> tileA: array<vec4f, 256>;
var<workgroup> tileB: array<vec4f, 256>;

/// 4 values of a along its contiguous dim, 0 outside.
fn loadA(base: u32, line: u32, lines: u32, i: u32, width: u32) -> vec4f {
  if (line < lines && i < width) {
    return vec4f(a[(base + line * width + i) / 4u]);
  }
  return vec4f();
}

fn loadB(base: u32, line: u32, lines: u32, i: u32, width: u32) -> vec4f {
  if (line < lines && i < width) {
    return vec4f(b[(base + line * width + i) / 4u]);
  }
  return vec4f();
}

fn store(row: u32, first: u32, column: u32, sum: vec4f) {
  let n4 = params.n / 4u;
  if (row >= params.m || column >= n4) {
    return;
  }
  var value = sum;
  if (params.hasBias == 1u) {
    value += bias[column];
  }
  let at = (first + row) * n4 + column;
  if (params.accumulate == 1u) {
    value += vec4f(y[at]);
  }
  y[at] = vec4<Y>(value);
}

@compute @workgroup_size(16, 8)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
  @builtin(local_invocation_id) thread: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let tile = workgroup.y * workgroups.x + workgroup.x;
  if (tile >= params.tiles) {
    return;
  }
  let m = params.m;
  let n = params.n;
  let k = params.k;
  let z = tile / (params.rowTiles * params.columnTiles);
  let row0 = (tile / params.columnTiles % params.rowTiles) * 64u;
  let column0 = (tile % params.columnTiles) * 64u;
  let baseA = z * m * k;
  let baseB = z * n * k;
  // The half of the threads that turns 4 x 4 blocks: 16 of rows or columns x 4 of depth. Neighbours read along the depth.
  let half = index % 64u;
  let block = half / 4u;
  let deep = half % 4u * 4u;
  var c0 = vec4f();
  var c1 = vec4f();
  var c2 = vec4f();
  var c3 = vec4f();
  var c4 = vec4f();
  var c5 = vec4f();
  var c6 = vec4f();
  var c7 = vec4f();
  for (var q = 0u; q < k; q += 16u) {
    if (TRANSPOSE_A) {
      for (var i = index; i < 256u; i += 128u) {
        tileA[i] = loadA(baseA, q + i / 16u, k, row0 + i % 16u * 4u, m);
      }
    } else if (index < 64u) {
      let r = row0 + block * 4u;
      let turned = transpose(mat4x4f(
        loadA(baseA, r, m, q + deep, k),
        loadA(baseA, r + 1u, m, q + deep, k),
        loadA(baseA, r + 2u, m, q + deep, k),
        loadA(baseA, r + 3u, m, q + deep, k),
      ));
      tileA[deep * 16u + block] = turned[0];
      tileA[(deep + 1u) * 16u + block] = turned[1];
      tileA[(deep + 2u) * 16u + block] = turned[2];
      tileA[(deep + 3u) * 16u + block] = turned[3];
    }
    if (!TRANSPOSE_B) {
      for (var i = index; i < 256u; i += 128u) {
        tileB[i] = loadB(baseB, q + i / 16u, k, column0 + i % 16u * 4u, n);
      }
    } else if (index >= 64u) {
      let c = column0 + block * 4u;
      let turned = transpose(mat4x4f(
        loadB(baseB, c, n, q + deep, k),
        loadB(baseB, c + 1u, n, q + deep, k),
        loadB(baseB, c + 2u, n, q + deep, k),
        loadB(baseB, c + 3u, n, q + deep, k),
      ));
      tileB[deep * 16u + block] = turned[0];
      tileB[(deep + 1u) * 16u + block] = turned[1];
      tileB[(deep + 2u) * 16u + block] = turned[2];
      tileB[(deep + 3u) * 16u + block] = turned[3];
    }
    workgroupBarrier();
    for (var d = 0u; d < 16u; d++) {
      let s = tileA[d * 16u + thread.y * 2u];
      let t = tileA[d * 16u + thread.y * 2u + 1u];
      let v = tileB[d * 16u + thread.x];
      c0 += s.x * v;
      c1 += s.y * v;
      c2 += s.z * v;
      c3 += s.w * v;
      c4 += t.x * v;
      c5 += t.y * v;
      c6 += t.z * v;
      c7 += t.w * v;
    }
    workgroupBarrier();
  }
  let row = row0 + thread.y * 8u;
  let column = column0 / 4u + thread.x;
  let first = z * m;
  store(row + 0u, first, column, c0);
  store(row + 1u, first, column, c1);
  store(row + 2u, first, column, c2);
  store(row + 3u, first, column, c3);
  store(row + 4u, first, column, c4);
  store(row + 5u, first, column, c5);
  store(row + 6u, first, column, c6);
  store(row + 7u, first, column, c7);
}
