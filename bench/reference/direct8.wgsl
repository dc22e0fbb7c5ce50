// y[m, n] = a[m, k] b[k, n], 8 rows x 1 vec4 a thread straight from global memory.
// Grid: n/32 x m/64; m a multiple of 64, n of 32, k of 4.
struct Params {
  m: u32,
  n: u32,
  k: u32,
}

@group(0) @binding(0) var<storage, read> a: array<vec4f>;
@group(0) @binding(1) var<storage, read> b: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.y * 8u;
  let n4 = params.n / 4u;
  let k4 = params.k / 4u;
  var c0 = vec4f();
  var c1 = vec4f();
  var c2 = vec4f();
  var c3 = vec4f();
  var c4 = vec4f();
  var c5 = vec4f();
  var c6 = vec4f();
  var c7 = vec4f();
  for (var q = 0u; q < k4; q++) {
    let at = 4u * q * n4 + id.x;
    let b0 = b[at];
    let b1 = b[at + n4];
    let b2 = b[at + 2u * n4];
    let b3 = b[at + 3u * n4];
    let t0 = a[(row + 0u) * k4 + q];
    c0 += t0.x * b0 + t0.y * b1 + t0.z * b2 + t0.w * b3;
    let t1 = a[(row + 1u) * k4 + q];
    c1 += t1.x * b0 + t1.y * b1 + t1.z * b2 + t1.w * b3;
    let t2 = a[(row + 2u) * k4 + q];
    c2 += t2.x * b0 + t2.y * b1 + t2.z * b2 + t2.w * b3;
    let t3 = a[(row + 3u) * k4 + q];
    c3 += t3.x * b0 + t3.y * b1 + t3.z * b2 + t3.w * b3;
    let t4 = a[(row + 4u) * k4 + q];
    c4 += t4.x * b0 + t4.y * b1 + t4.z * b2 + t4.w * b3;
    let t5 = a[(row + 5u) * k4 + q];
    c5 += t5.x * b0 + t5.y * b1 + t5.z * b2 + t5.w * b3;
    let t6 = a[(row + 6u) * k4 + q];
    c6 += t6.x * b0 + t6.y * b1 + t6.z * b2 + t6.w * b3;
    let t7 = a[(row + 7u) * k4 + q];
    c7 += t7.x * b0 + t7.y * b1 + t7.z * b2 + t7.w * b3;
  }
  y[(row + 0u) * n4 + id.x] = c0;
  y[(row + 1u) * n4 + id.x] = c1;
  y[(row + 2u) * n4 + id.x] = c2;
  y[(row + 3u) * n4 + id.x] = c3;
  y[(row + 4u) * n4 + id.x] = c4;
  y[(row + 5u) * n4 + id.x] = c5;
  y[(row + 6u) * n4 + id.x] = c6;
  y[(row + 7u) * n4 + id.x] = c7;
}
