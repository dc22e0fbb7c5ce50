// y[z, m, n] (+)= sum over s of parts[z, s, m, n], in the order of s, + bias[n]
// Grid: 2-D over the elements of y, THREADS a workgroup.

const THREADS: u32 = 64u;

alias Y = f32;

struct Params {
  // elements of y; of one [m, n]
  count: u32,
  size: u32,
  n: u32,
  slices: u32,
  accumulate: u32,
  hasBias: u32,
}

@group(0) @binding(0) var<storage, read> parts: array<f32>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<Y>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let i = (workgroup.y * workgroups.x + workgroup.x) * THREADS + thread;
  if (i >= params.count) {
    return;
  }
  var at = i / params.size * params.slices * params.size + i % params.size;
  var sum = 0.0;
  for (var s = 0u; s < params.slices; s++) {
    sum += parts[at];
    at += params.size;
  }
  if (params.hasBias == 1u) {
    sum += bias[i % params.n];
  }
  if (params.accumulate == 1u) {
    sum += f32(y[i]);
  }
  y[i] = Y(sum);
}
