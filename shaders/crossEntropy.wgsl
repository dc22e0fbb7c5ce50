// losses[row] = max + log(sums[0]) - sums[1]
// grid: THREADS PER_THREAD rows a workgroup
const THREADS: u32 = 64;
const PER_THREAD: u32 = 4;

struct Params { n: u32 }

@group(0) @binding(0) var<storage, read> maxima: array<f32>;
@group(0) @binding(1) var<storage, read> sums: array<f32>;
@group(0) @binding(2) var<storage, read_write> losses: array<f32>;
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
    // in this order large logits cancel before the small logarithm joins
    losses[i] = (maxima[i] - sums[2u * i + 1u]) + log(sums[2u * i]);
  }
}
