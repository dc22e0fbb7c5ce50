// y[2i], y[2i + 1] = the f16 in the lower and upper half of x[i]
// grid: THREADS PER_THREAD elements of y a workgroup
const THREADS: u32 = 64;
const PER_THREAD: u32 = 4;

struct Params { n: u32 }

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>; // bits of f32
@group(0) @binding(2) var<uniform> params: Params;

fn whole(half: u32) -> u32 {
  let sign = (half & 0x8000u) << 16u;
  let magnitude = half & 0x7fffu;
  // Steps of 2^-24 below 2^-14.
  if (magnitude < 0x400u) { return sign | bitcast<u32>(f32(magnitude) * 0x1p-24f); }
  return sign | ((magnitude << 13u) + select(0x38000000u, 0x70000000u, magnitude >= 0x7c00u));
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * (THREADS * PER_THREAD);
  let end = min(first + THREADS * PER_THREAD, params.n);
  for (var i = first + lane; i < end; i += THREADS) { y[i] = whole((x[i / 2u] >> (16u * (i % 2u))) & 0xffffu); }
}
