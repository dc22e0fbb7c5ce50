// y = value
// grid: THREADS PER_THREAD elements a workgroup
const THREADS: u32 = 64;
const PER_THREAD: u32 = 4;
const HALF = false; // y holds f16: bits are those of an f32

alias T = u32;

// bits, not a float: the same shader fills i32 buffers
struct Params { n: u32, bits: u32 }

@group(0) @binding(0) var<storage, read_write> y: array<T>;
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * (THREADS * PER_THREAD);
  let end = min(first + THREADS * PER_THREAD, params.n);
  for (var i = first + lane; i < end; i += THREADS) {
    if (HALF) { y[i] = T(bitcast<f32>(params.bits)); } else { y[i] = T(params.bits); }
  }
}
