// y[z, m, n] (+)= op(a)[z, m, k] op(b)[z, k, n] + bias[n] by a GPU's matrix units, for m and n that are multiples of 32, and k of DEPTH: a
// subgroup keeps 32 x 32 sums in f32, in matrices of ROWS x COLUMNS, and reads a and b, f16 or f32, from where they are.
// WGSL's extension: dawn.googlesource.com, docs/dawn/features/subgroup_matrix.md. No adapter that has it was at hand: validated, never run.
// Grid: 2-D over the tiles of 64 x 64 outputs, four of such squares; workgroups of THREADS threads.
enable subgroups;
enable chromium_experimental_subgroup_matrix;
// Where subgroup_uniformity is not yet a language feature, whatever follows from subgroup_id counts as different in every thread.
diagnostic(off, chromium.subgroup_matrix_uniformity);

/// A multiple of what a subgroup has at most: WebGPU wants whole subgroups here.
const THREADS: u32 = 128u;
const ROWS: u32 = 8u;
const COLUMNS: u32 = 8u;
const DEPTH: u32 = 8u;
/// 32 / ROWS and 32 / COLUMNS in the kernel as it is made; the text as it stands computes one matrix of each square.
const DOWN: u32 = 1u;
const ACROSS: u32 = 1u;
/// 1 when the sums themselves are y: f32, without bias, not added to. Else STAGED is 1, and they go through workgroup memory.
const DIRECT: u32 = 0u;
const STAGED: u32 = 1u;
const TRANSPOSE_A: bool = false;
const TRANSPOSE_B: bool = false;

alias T = f32;
alias Y = f32;
alias Left = subgroup_matrix_left<T, DEPTH, ROWS>;
alias Right = subgroup_matrix_right<T, COLUMNS, DEPTH>;
alias Sums = subgroup_matrix_result<f32, COLUMNS, ROWS>;

struct Params {
  m: u32,
  n: u32,
  k: u32,
  rowTiles: u32,
  columnTiles: u32,
  tiles: u32,
  // 0 or 1
  accumulate: u32,
  hasBias: u32,
}

@group(0) @binding(0) var<storage, read> a: array<T>;
@group(0) @binding(1) var<storage, read> b: array<T>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<Y>;
@group(0) @binding(4) var<uniform> params: Params;

/// What stands for a repeated line's number in the text as it is.
const i = 0u;
const j = 0u;

const side = 32u;
const area = side * side;

/// The sums of the four squares.
var<workgroup> staged: array<f32, 4u * area>;

/// op(a)'s matrix at a row and a column, in elements. first: where this sample's begins in a.
fn loadA(first: u32, row: u32, column: u32) -> Left {
  if (TRANSPOSE_A) {
    return subgroupMatrixLoad<Left, col_major>(&a, first + column * params.m + row, params.m);
  }
  return subgroupMatrixLoad<Left, row_major>(&a, first + row * params.k + column, params.k);
}

fn loadB(first: u32, row: u32, column: u32) -> Right {
  if (TRANSPOSE_B) {
    return subgroupMatrixLoad<Right, col_major>(&b, first + column * params.k + row, params.k);
  }
  return subgroupMatrixLoad<Right, row_major>(&b, first + row * params.n + column, params.n);
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(num_subgroups) subgroups: u32,
) {
  let tile = workgroup.y * workgroups.x + workgroup.x;
  if (tile >= params.tiles) {
    return;
  }
  let m = params.m;
  let n = params.n;
  let k = params.k;
  let z = tile / (params.rowTiles * params.columnTiles);
  let top = 2u * side * (tile / params.columnTiles % params.rowTiles);
  let start = 2u * side * (tile % params.columnTiles);
  // However many subgroups these threads are.
  for (var square = subgroup; square < 4u; square += subgroups) {
    let row = top + side * (square / 2u);
    let column = start + side * (square % 2u);
    if (row >= m || column >= n) {
      continue;
    }
    var sums_i_j = Sums(); //@ each i < DOWN, j < ACROSS
    for (var q = 0u; q < k; q += DEPTH) {
      let left_i = loadA(z * m * k, row + i * ROWS, q); //@ each i < DOWN
      let right_j = loadB(z * k * n, q, column + j * COLUMNS); //@ each j < ACROSS
      sums_i_j = subgroupMatrixMultiplyAccumulate(left_i, right_j, sums_i_j); //@ each i < DOWN, j < ACROSS
    }
    { //@ each s < STAGED
      let at = square * area;
      subgroupMatrixStore<row_major>(&staged, at + i * ROWS * side + j * COLUMNS, sums_i_j, side); //@ each i < DOWN, j < ACROSS
    }
    //@+ { //@ each d < DIRECT
    //@+   let at = (z * m + row) * n + column;
    //@+   subgroupMatrixStore<row_major>(&y, at + i * ROWS * n + j * COLUMNS, sums_i_j, n); //@ each i < DOWN, j < ACROSS
    //@+ }
  }
  { //@ each s < STAGED
    workgroupBarrier();
    for (var e = thread; e < 4u * area; e += THREADS) {
      let square = e / area;
      let row = top + side * (square / 2u) + e % area / side;
      let column = start + side * (square % 2u) + e % side;
      if (row < m && column < n) {
        let at = (z * m + row) * n + column;
        var value = staged[e];
        if (params.hasBias == 1u) {
          value += bias[column];
        }
        if (params.accumulate == 1u) {
          value += f32(y[at]);
        }
        y[at] = Y(value);
      }
    }
  }
}
