// y = alpha x
// grid: THREADS PER_THREAD elements a workgroup
const THREADS: u32 = 64;
const PER_THREAD: u32 = 4;

alias X = f32;
alias Y = f32;

struct Params { n: u32, alpha: f32 }

@group(0) @binding(0) var<storage, read> x: array<X>;
@group(0) @binding(1) var<storage, read_write> y: array<Y>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * (THREADS * PER_THREAD);
  let end = min(first + THREADS * PER_THREAD, params.n);
  for (var i = first + lane; i < end; i += THREADS) {
    y[i] = Y(params.alpha * f32(x[i]));
  }
}
