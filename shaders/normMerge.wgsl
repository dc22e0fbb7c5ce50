// y = (mean, sum of squared deviations) of two column blocks of the same rows, from each block's own:
//   delta = mean_b - mean_a,  mean = mean_a + delta shareB,  M2 = M2_a + M2_b + delta^2 weight
// with shareB = countB / (countA + countB), weight = countA shareB (Chan, Golub & LeVeque 1979)
// grid: THREADS PER_THREAD rows a workgroup
const THREADS: u32 = 64;
const PER_THREAD: u32 = 4;

struct Params { n: u32, shareB: f32, weight: f32 }

@group(0) @binding(0) var<storage, read> a: array<vec2f>;
@group(0) @binding(1) var<storage, read> b: array<vec2f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec2f>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * (THREADS * PER_THREAD);
  let end = min(first + THREADS * PER_THREAD, params.n);
  for (var i = first + lane; i < end; i += THREADS) {
    let delta = b[i].x - a[i].x;
    y[i] = vec2f(a[i].x + delta * params.shareB, a[i].y + b[i].y + delta * delta * params.weight);
  }
}
