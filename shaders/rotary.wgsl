// (y[c], y[c + h/2]) = (x[c] cos - x[c + h/2] sin, x[c + h/2] cos + x[c] sin) for c < h/2 in each q and k head of h columns; v is
// copied. Angle of position offset + row % tokens; RoFormer, arXiv 2104.09864
// grid: x over pairs of columns, y and z over rows; GROUP_ROWS rows a workgroup, ROW_THREADS threads a row
const ROW_THREADS: u32 = 32;
const GROUP_ROWS: u32 = 8;
const HEAD_WIDTH: u32 = 32;
const QUERY_HEADS: u32 = 1; // that share a k and a v head
const INVERSE = false; // turns back: the vjp

alias T = f32;

struct Params { rows: u32, cols: u32, tokens: u32, offset: u32 }

@group(0) @binding(0) var<storage, read> x: array<T>;
@group(0) @binding(1) var<storage, read> table: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<T>;
@group(0) @binding(3) var<uniform> params: Params;

const HALF: u32 = HEAD_WIDTH / 2u;

@compute @workgroup_size(ROW_THREADS * GROUP_ROWS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (group.z * groups.y + group.y) * GROUP_ROWS + lane / ROW_THREADS;
  if (row >= params.rows) { return; }
  let first = group.x * ROW_THREADS + lane % ROW_THREADS;
  let stride = ROW_THREADS * groups.x;
  let position = params.offset + row % params.tokens;
  for (var pair = first; pair < params.cols / 2u; pair += stride) {
    let head = pair / HALF;
    let c = pair % HALF;
    let i = row * params.cols + head * HEAD_WIDTH + c;
    let a = f32(x[i]);
    let b = f32(x[i + HALF]);
    if (head % (QUERY_HEADS + 2u) > QUERY_HEADS) {
      y[i] = T(a);
      y[i + HALF] = T(b);
    } else {
      let t = 2u * (position * HALF + c);
      let cosine = table[t];
      let sine = select(table[t + 1u], -table[t + 1u], INVERSE);
      y[i] = T(a * cosine - b * sine);
      y[i + HALF] = T(b * cosine + a * sine);
    }
  }
}
