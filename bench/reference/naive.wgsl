// y[m, n] = a[m, k] b[k, n], one output a thread. Grid: n/8 x m/8; m and n multiples of 8.
struct Params {
  m: u32,
  n: u32,
  k: u32,
}

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3u) {
  var sum = 0f;
  for (var q = 0u; q < params.k; q++) {
    sum += a[id.y * params.k + q] * b[q * params.n + id.x];
  }
  y[id.y * params.n + id.x] = sum;
}
