// y[z, m, n] (+)= op(a)[z, m, k] op(b)[z, k, n] + bias[n], for adapters whose subgroups are CPU vectors: a workgroup is one
// subgroup, a lane keeps `rows` x 4 outputs, and a's values are loaded once a subgroup and broadcast between lanes.
// Grid: 2-D over the tiles of rows x (4 lanes) outputs. n a multiple of 4, and k too when b is transposed.
enable subgroups;

const LANES: u32 = 8u;
/// 8, or 1.
const ROWS: u32 = 8u;
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
@group(0) @binding(1) var<storage, read> b: array<vec4<T>>;
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<Y>>;
@group(0) @binding(4) var<uniform> params: Params;

// Named accumulators: arrays end in memory on software adapters.
var<private> c0: vec4f;
var<private> c1: vec4f;
var<private> c2: vec4f;
var<private> c3: vec4f;
var<private> c4: vec4f;
var<private> c5: vec4f;
var<private> c6: vec4f;
var<private> c7: vec4f;

fn addProduct(low: vec4f, high: vec4f, v: vec4f) {
  c0 += low.x * v;
  if (ROWS > 1u) {
    c1 += low.y * v;
    c2 += low.z * v;
    c3 += low.w * v;
    c4 += high.x * v;
    c5 += high.y * v;
    c6 += high.z * v;
    c7 += high.w * v;
  }
}

/// Four of b, wherever they are.
fn fourOf(i: u32) -> vec4f {
  return vec4f(b[i]);
}

/// Rows q .. q + 3 of op(b) at vec4 column c.
fn loadB(base: u32, q: u32, c: u32) -> mat4x4f {
  if (TRANSPOSE_B) {
    let k4 = params.k / 4u;
    let i = base + 4u * c * k4 + q / 4u;
    return transpose(mat4x4f(fourOf(i), fourOf(i + k4), fourOf(i + 2u * k4), fourOf(i + 3u * k4)));
  }
  let n4 = params.n / 4u;
  let i = base + q * n4 + c;
  return mat4x4f(fourOf(i), fourOf(i + n4), fourOf(i + 2u * n4), fourOf(i + 3u * n4));
}

/// Row q alone.
fn loadRow(base: u32, q: u32, c: u32) -> vec4f {
  if (TRANSPOSE_B) {
    let k4 = params.k / 4u;
    let i = base + 4u * c * k4 + q / 4u;
    let e = q % 4u;
    return vec4f(vec4<T>(b[i][e], b[i + k4][e], b[i + 2u * k4][e], b[i + 3u * k4][e]));
  }
  return fourOf(base + q * (params.n / 4u) + c);
}

fn store(i: u32, row: u32, first: u32, column: u32, sum: vec4f) {
  if (i >= ROWS || row + i >= params.m) {
    return;
  }
  var value = sum;
  if (params.hasBias == 1u) {
    value += bias[column];
  }
  let at = (first + row + i) * (params.n / 4u) + column;
  if (params.accumulate == 1u) {
    value += vec4f(y[at]);
  }
  y[at] = vec4<Y>(value);
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let tile = workgroup.y * workgroups.x + workgroup.x;
  if (tile >= params.tiles) {
    return;
  }
  let m = params.m;
  let k = params.k;
  let n4 = params.n / 4u;
  let z = tile / (params.rowTiles * params.columnTiles);
  let row = (tile / params.columnTiles % params.rowTiles) * ROWS;
  let column = (tile % params.columnTiles) * LANES + lane;
  // Lanes past the edge compute the last column again: every lane must take part in the broadcasts.
  let c = min(column, n4 - 1u);
  let baseA = z * m * k;
  let baseB = z * n4 * k;
  let last = m - 1u;

  if (TRANSPOSE_A) {
    for (var q = 0u; q < k; q++) {
      let at = baseA + q * m;
      let s = f32(a[at + min(row + lane, last)]);
      var t = s;
      if (ROWS > LANES) {
        t = f32(a[at + min(row + LANES + lane, last)]);
      }
      addProduct(
        vec4f(subgroupBroadcast(s, 0u), subgroupBroadcast(s, 1u), subgroupBroadcast(s, 2u), subgroupBroadcast(s, 3u)),
        vec4f(
          subgroupBroadcast(t, 4u % LANES),
          subgroupBroadcast(t, 5u % LANES),
          subgroupBroadcast(t, 6u % LANES),
          subgroupBroadcast(t, 7u % LANES),
        ),
        fourOf(baseB + q * n4 + c),
      );
    }
  } else {
    let r0 = baseA + row * k;
    let r1 = baseA + min(row + 1u, last) * k;
    let r2 = baseA + min(row + 2u, last) * k;
    let r3 = baseA + min(row + 3u, last) * k;
    let r4 = baseA + min(row + 4u, last) * k;
    let r5 = baseA + min(row + 5u, last) * k;
    let r6 = baseA + min(row + 6u, last) * k;
    let r7 = baseA + min(row + 7u, last) * k;
    let whole = k - k % LANES;
    for (var q = 0u; q < whole; q += LANES) {
      let i = q + lane;
      var s = vec4f(f32(a[r0 + i]), 0, 0, 0);
      var t = vec4f();
      if (ROWS > 1u) {
        s = vec4f(s.x, f32(a[r1 + i]), f32(a[r2 + i]), f32(a[r3 + i]));
        t = vec4f(vec4<T>(a[r4 + i], a[r5 + i], a[r6 + i], a[r7 + i]));
      }
      let v = loadB(baseB, q, c);
      addProduct(subgroupBroadcast(s, 0u), subgroupBroadcast(t, 0u), v[0]);
      addProduct(subgroupBroadcast(s, 1u), subgroupBroadcast(t, 1u), v[1]);
      addProduct(subgroupBroadcast(s, 2u), subgroupBroadcast(t, 2u), v[2]);
      addProduct(subgroupBroadcast(s, 3u), subgroupBroadcast(t, 3u), v[3]);
      if (LANES == 8u) {
        let w = loadB(baseB, q + 4u, c);
        addProduct(subgroupBroadcast(s, 4u), subgroupBroadcast(t, 4u), w[0]);
        addProduct(subgroupBroadcast(s, 5u), subgroupBroadcast(t, 5u), w[1]);
        addProduct(subgroupBroadcast(s, 6u), subgroupBroadcast(t, 6u), w[2]);
        addProduct(subgroupBroadcast(s, 7u), subgroupBroadcast(t, 7u), w[3]);
      }
    }
    for (var q = whole; q < k; q++) {
      addProduct(
        vec4f(vec4<T>(a[r0 + q], a[r1 + q], a[r2 + q], a[r3 + q])),
        vec4f(vec4<T>(a[r4 + q], a[r5 + q], a[r6 + q], a[r7 + q])),
        loadRow(baseB, q, c),
      );
    }
  }

  if (column >= n4) {
    return;
  }
  let first = z * m;
  store(0u, row, first, column, c0);
  store(1u, row, first, column, c1);
  store(2u, row, first, column, c2);
  store(3u, row, first, column, c3);
  store(4u, row, first, column, c4);
  store(5u, row, first, column, c5);
  store(6u, row, first, column, c6);
  store(7u, row, first, column, c7);
}
