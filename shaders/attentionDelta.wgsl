// delta[b, h, i] = sum over the head's columns of dy y: the row term of softmax's gradient.
// Grid: 2-D over batch * heads * queries, 64 rows a workgroup.
alias T = f32;

struct Params {
  heads: u32,
  queries: u32,
  headWidth: u32,
  rows: u32,
}

@group(0) @binding(0) var<storage, read> y: array<T>;
@group(0) @binding(1) var<storage, read> dy: array<T>;
@group(0) @binding(2) var<storage, read_write> delta: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let row = (workgroup.y * workgroups.x + workgroup.x) * 64u + thread;
  if (row >= params.rows) {
    return;
  }
  let i = row % params.queries;
  let h = row / params.queries % params.heads;
  let b = row / (params.queries * params.heads);
  let at = ((b * params.queries + i) * params.heads + h) * params.headWidth;
  var sum = 0f;
  for (var c = 0u; c < params.headWidth; c++) {
    sum += f32(dy[at + c]) * f32(y[at + c]);
  }
  delta[row] = sum;
}
