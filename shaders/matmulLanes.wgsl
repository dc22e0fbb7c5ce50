// y[z, m, n] (+)= op(a)[z, m, k] op(b)[z, k, n] + bias[n], for adapters whose subgroups are CPU vectors: a workgroup is one subgroup, a
// lane keeps STRIPS x LINES rows of GROUPS x 4 outputs, and a's values are loaded once a subgroup and broadcast between lanes.
// Lines marked `each` are repeated when the shader is made (see expand in specialise.ts): the text as it stands is the kernel of one row.
// Grid: 2-D over the tiles of STRIPS LINES rows and 4 LANES GROUPS columns.
enable subgroups;

const LANES: u32 = 8u;
/// rows a strip, at most LANES: a lane loads one of them
const LINES: u32 = 1u;
const STRIPS: u32 = 1u;
/// vec4 columns a lane, LANES apart
const GROUPS: u32 = 1u;
/// 1 when the rows of b are multiples of 4: it is of vec4s. Else SCALARS is 1.
const VECTORS: u32 = 1u;
const SCALARS: u32 = 0u;
/// 1 when n is a multiple of 4: y and the bias are of vec4s. Else NARROW is 1.
const WIDE: u32 = 1u;
const NARROW: u32 = 0u;
/// of k at a time: 4 when FOUR is 1, 2 when TWO is
const STEPS: u32 = 4u;
const FOUR: u32 = 1u;
const TWO: u32 = 0u;
/// 1 when k is no multiple of STEPS
const TAIL: u32 = 1u;
/// 1 when y is added to. The loads for it take a compiler as long as all the rest, and most products do without.
const ACCUMULATE: u32 = 1u;
const TRANSPOSE_A: bool = false;
const TRANSPOSE_B: bool = false;
/// a and b are what matmulPack.wgsl makes of them: in tiles of as many rows, and of as many columns, as a workgroup computes
const PACKED: bool = false;

alias T = f32;
alias Y = f32;

struct Params {
  m: u32,
  n: u32,
  k: u32,
  rowTiles: u32,
  columnTiles: u32,
  tiles: u32,
  // 0 or 1
  hasBias: u32,
}

@group(0) @binding(0) var<storage, read> a: array<T>;
@group(0) @binding(1) var<storage, read> b: array<vec4<T>>; //@ each v < VECTORS
@group(0) @binding(2) var<storage, read> bias: array<vec4f>; //@ each v < WIDE
@group(0) @binding(3) var<storage, read_write> y: array<vec4<Y>>; //@ each v < WIDE
//@+ @group(0) @binding(1) var<storage, read> b: array<T>; //@ each s < SCALARS
//@+ @group(0) @binding(2) var<storage, read> bias: array<f32>; //@ each s < NARROW
//@+ @group(0) @binding(3) var<storage, read_write> y: array<Y>; //@ each s < NARROW
@group(0) @binding(4) var<uniform> params: Params;

/// What stands for a repeated line's number in the text as it is.
const h = 0u;
const l = 0u;
const g = 0u;

/// Elements of b in one of its array's.
const WIDTH = 4u; //@ each v < VECTORS
//@+ const WIDTH = 1u; //@ each s < SCALARS

/// Four of b's row that begins at i, in the columns at.
fn across(i: u32, at: vec4u) -> vec4f {
  return vec4f(b[i + at.x]); //@ each v < VECTORS
  //@+ return vec4f(vec4<T>(b[i + at.x], b[i + at.y], b[i + at.z], b[i + at.w])); //@ each s < SCALARS
}

/// Four of b, one behind the other.
fn along(i: u32) -> vec4f {
  return vec4f(b[i]); //@ each v < VECTORS
  //@+ return vec4f(vec4<T>(b[i], b[i + 1u], b[i + 2u], b[i + 3u])); //@ each s < SCALARS
}

alias Steps = vec4f; //@ each s < FOUR
alias Rows = mat4x4f; //@ each s < FOUR
//@+ alias Steps = vec2f; //@ each s < TWO
//@+ alias Rows = mat2x4f; //@ each s < TWO

/// Rows q .. q + STEPS - 1 of op(b) in four columns. at: where these begin in a row of op(b), or, transposed, where their rows of b begin.
fn loadB(q: u32, at: vec4u) -> Rows {
  if (TRANSPOSE_B) {
    let i = q / WIDTH;
    return transpose(mat4x4f(along(at.x + i), along(at.y + i), along(at.z + i), along(at.w + i))); //@ each s < FOUR
    //@+ return Rows(loadRow(q, at), loadRow(q + 1u, at)); //@ each s < TWO
  }
  let step = rowOfB() / WIDTH;
  let i = q * step;
  return Rows(across(i, at), across(i + step, at), across(i + 2u * step, at), across(i + 3u * step, at)); //@ each s < FOUR
  //@+ return Rows(across(i, at), across(i + step, at)); //@ each s < TWO
}

/// Row q alone.
fn loadRow(q: u32, at: vec4u) -> vec4f {
  if (TRANSPOSE_B) {
    let i = q / WIDTH;
    let e = q % WIDTH;
    return vec4f(along(at.x + i)[e], along(at.y + i)[e], along(at.z + i)[e], along(at.w + i)[e]);
  }
  return across(q * (rowOfB() / WIDTH), at);
}

/// Elements from one row of op(b) to the next.
fn rowOfB() -> u32 {
  return select(params.n, 4u * LANES * GROUPS, PACKED);
}

/// STEPS of a, `step` apart.
fn loadA(i: u32, step: u32) -> Steps {
  return vec4f(vec4<T>(a[i], a[i + step], a[i + 2u * step], a[i + 3u * step])); //@ each s < FOUR
  //@+ return vec2f(vec2<T>(a[i], a[i + step])); //@ each s < TWO
}

/// STEPS of k for one row: x of a, and as many rows of b. In one expression, so that a sum goes to memory once in all of them:
/// SwiftShader keeps a variable there, and writes it under a mask; lavapipe has not the registers for all sums.
fn add(sum: vec4f, x: Steps, v: Rows) -> vec4f {
  return sum + x.x * v[0] + x.y * v[1] + x.z * v[2] + x.w * v[3]; //@ each s < FOUR
  //@+ return sum + x.x * v[0] + x.y * v[1]; //@ each s < TWO
}

/// Four of the bias.
fn biasAt(at: vec4u) -> vec4f {
  return bias[at.x / 4u]; //@ each v < WIDE
  //@+ return vec4f(bias[at.x], bias[at.y], bias[at.z], bias[at.w]); //@ each s < NARROW
}

/// Four of the row that begins at i.
fn load(i: u32, at: vec4u) -> vec4f {
  return vec4f(y[(i + at.x) / 4u]); //@ each v < WIDE
  //@+ return vec4f(vec4<Y>(y[i + at.x], y[i + at.y], y[i + at.z], y[i + at.w])); //@ each s < NARROW
}

fn store(i: u32, column: u32, sum: vec4f) {
  if (column < params.n) {
    y[(i + column) / 4u] = vec4<Y>(sum); //@ each v < WIDE
    //@+ for (var j = 0u; j < min(4u, params.n - column); j++) { //@ each s < NARROW
    //@+   y[i + column + j] = Y(sum[j]);
    //@+ }
  }
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
  let n = params.n;
  let k = params.k;
  let rowTile = tile / params.columnTiles;
  let columnTile = tile % params.columnTiles;
  let z = rowTile / params.rowTiles;
  let row = rowTile % params.rowTiles * (STRIPS * LINES);
  let column = 4u * (columnTile * (LANES * GROUPS) + lane);
  // Lanes past the edge compute the last row or column again: every lane must take part in the broadcasts.
  var stepA = select(1u, params.m, TRANSPOSE_A);
  var i_h = z * params.m * k + min(row + h * LINES + lane % LINES, params.m - 1u) * select(k, 1u, TRANSPOSE_A); //@ each h < STRIPS
  let columns_g = min(column + 4u * LANES * g + vec4u(0u, 1u, 2u, 3u), vec4u(n - 1u)); //@ each g < GROUPS
  var at_g = (z * k * n + columns_g * select(1u, k, TRANSPOSE_B)) / WIDTH; //@ each g < GROUPS
  if (PACKED) {
    stepA = STRIPS * LINES;
    i_h = rowTile * stepA * k + h * LINES + lane % LINES; //@ each h < STRIPS
    at_g = ((z * params.columnTiles + columnTile) * k * (LANES * GROUPS) + LANES * g + lane) * 4u / WIDTH + vec4u(0u, 1u, 2u, 3u); //@ each g < GROUPS
  }
  var c_h_l_g = vec4f(); //@ each h < STRIPS, l < LINES, g < GROUPS
  if (params.hasBias == 1u) {
    c_h_l_g = biasAt(columns_g); //@ each h < STRIPS, l < LINES, g < GROUPS
  }
  let first = z * params.m;
  let last = first + params.m - 1u;
  { //@ each e < ACCUMULATE
    c_h_l_g += load(min(first + row + h * LINES + l, last) * n, columns_g); //@ each h < STRIPS, l < LINES, g < GROUPS
  }
  for (var q = 0u; q + (STEPS - 1u) < k; q += STEPS) {
    // Every load before the first sum: on lavapipe one behind the stores of sums waits for these.
    let s_h = loadA(i_h + q * stepA, stepA); //@ each h < STRIPS
    let v_g = loadB(q, at_g); //@ each g < GROUPS
    { //@ each h < STRIPS, l < LINES
      let x = subgroupBroadcast(s_h, l);
      c_h_l_g = add(c_h_l_g, x, v_g); //@ each g < GROUPS
    }
  }
  for (var q = k - k % STEPS; q < k; q++) { //@ each t < TAIL
    let v_g = loadRow(q, at_g); //@ each g < GROUPS
    { //@ each h < STRIPS
      let s = f32(a[i_h + q * stepA]);
      { //@ each l < LINES
        let x = subgroupBroadcast(s, l);
        c_h_l_g += x * v_g; //@ each g < GROUPS
      }
    }
  }
  if (first + row + h * LINES + l <= last) { //@ each h < STRIPS, l < LINES
    store((first + row + h * LINES + l) * n, column + 4u * LANES * g, c_h_l_g); //@ each g < GROUPS
  }
}
