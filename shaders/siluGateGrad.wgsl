// dx[2i] = dy up (s + gate s (1 - s)), dx[2i + 1] = dy gate s, with gate = x[2i], up = x[2i + 1], s = 1 / (1 + exp(-gate))
// grid: THREADS PER_THREAD elements a workgroup
const THREADS: u32 = 64;
const PER_THREAD: u32 = 4;

alias T = f32;

struct Params { n: u32 }

@group(0) @binding(0) var<storage, read> x: array<T>;
@group(0) @binding(1) var<storage, read> dy: array<T>;
@group(0) @binding(2) var<storage, read_write> dx: array<T>;
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
    let gate = f32(x[2u * i]);
    let e = exp(-abs(gate)); // never overflows
    let r = 1.0 / (1.0 + e);
    let s = select(r, e * r, gate < 0.0);
    let g = f32(dy[i]);
    dx[2u * i] = T(g * f32(x[2u * i + 1u]) * (s + gate * e * r * r)); // s (1 - s) = e r^2 on both sides
    dx[2u * i + 1u] = T(g * gate * s);
  }
}
