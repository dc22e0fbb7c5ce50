// The ceiling of arithmetic: `rounds` fused multiply-adds on 16 vec4 in registers a thread, 128 flops a thread and round, and one store, so
// that nothing is left out. Grid: threads/64.
struct Params {
  rounds: u32,
  factor: f32,
  term: f32,
}

@group(0) @binding(0) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let x = vec4f(params.factor);
  let t = vec4f(params.term);
  var a0 = vec4f(f32(id.x));
  var a1 = a0 + 1f; var a2 = a0 + 2f; var a3 = a0 + 3f; var a4 = a0 + 4f; var a5 = a0 + 5f; var a6 = a0 + 6f; var a7 = a0 + 7f;
  var a8 = a0 + 8f; var a9 = a0 + 9f; var b0 = a0 + 10f; var b1 = a0 + 11f; var b2 = a0 + 12f; var b3 = a0 + 13f; var b4 = a0 + 14f;
  var b5 = a0 + 15f;
  for (var i = 0u; i < params.rounds; i++) {
    a0 = fma(a0, x, t); a1 = fma(a1, x, t); a2 = fma(a2, x, t); a3 = fma(a3, x, t);
    a4 = fma(a4, x, t); a5 = fma(a5, x, t); a6 = fma(a6, x, t); a7 = fma(a7, x, t);
    a8 = fma(a8, x, t); a9 = fma(a9, x, t); b0 = fma(b0, x, t); b1 = fma(b1, x, t);
    b2 = fma(b2, x, t); b3 = fma(b3, x, t); b4 = fma(b4, x, t); b5 = fma(b5, x, t);
  }
  y[id.x] = ((a0 + a1) + (a2 + a3)) + ((a4 + a5) + (a6 + a7)) + (((a8 + a9) + (b0 + b1)) + ((b2 + b3) + (b4 + b5)));
}
