// y[i] = silu(x[2i]) x[2i + 1], silu(v) = v / (1 + exp(-v)); arXiv 2002.05202
// grid: THREADS PER_THREAD elements a workgroup
const THREADS: u32 = 64;
const PER_THREAD: u32 = 4;

alias T = f32;

struct Params { n: u32 }

@group(0) @binding(0) var<storage, read> x: array<T>;
@group(0) @binding(1) var<storage, read_write> y: array<T>;
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
    let gate = f32(x[2u * i]);
    let e = exp(-abs(gate)); // never overflows
    y[i] = T(gate * select(1.0, e, gate < 0.0) / (1.0 + e) * f32(x[2u * i + 1u]));
  }
}
