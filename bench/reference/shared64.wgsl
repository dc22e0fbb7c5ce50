// y[m, n] = a[m, k] b[k, n] by 64 x 64 tiles in workgroup memory, 16 deep, 8 rows x 2 vec4 a thread.
// Grid: n/64 x m/64; m and n multiples of 64, k of 16.
struct Params {
  m: u32,
  n: u32,
  k: u32,
}

@group(0) @binding(0) var<storage, read> a: array<vec4f>;
@group(0) @binding(1) var<storage, read> b: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

// [16 deep, 16 vec4 of rows] and [16 deep, 16 vec4 of columns].
var<workgroup> tileA: array<vec4f, 256>;
var<workgroup> tileB: array<vec4f, 256>;

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) thread: vec3u, @builtin(local_invocation_index) index: u32) {
  let n4 = params.n / 4u;
  let k4 = params.k / 4u;
  var c0l = vec4f();
  var c0r = vec4f();
  var c1l = vec4f();
  var c1r = vec4f();
  var c2l = vec4f();
  var c2r = vec4f();
  var c3l = vec4f();
  var c3r = vec4f();
  var c4l = vec4f();
  var c4r = vec4f();
  var c5l = vec4f();
  var c5r = vec4f();
  var c6l = vec4f();
  var c6r = vec4f();
  var c7l = vec4f();
  var c7r = vec4f();
  for (var q = 0u; q < k4; q += 4u) {
    // A thread turns a 4 x 4 block of a: 16 blocks of rows x 4 of depth.
    let block = index / 4u;
    let at = (group.y * 64u + block * 4u) * k4 + q + index % 4u;
    let turned = transpose(mat4x4f(a[at], a[at + k4], a[at + 2u * k4], a[at + 3u * k4]));
    let deep = index % 4u * 4u;
    tileA[deep * 16u + block] = turned[0];
    tileA[(deep + 1u) * 16u + block] = turned[1];
    tileA[(deep + 2u) * 16u + block] = turned[2];
    tileA[(deep + 3u) * 16u + block] = turned[3];
    for (var i = index; i < 256u; i += 64u) {
      tileB[i] = b[(q * 4u + i / 16u) * n4 + group.x * 16u + i % 16u];
    }
    workgroupBarrier();
    for (var d = 0u; d < 16u; d++) {
      let s = tileA[d * 16u + thread.y * 2u];
      let t = tileA[d * 16u + thread.y * 2u + 1u];
      let l = tileB[d * 16u + thread.x * 2u];
      let r = tileB[d * 16u + thread.x * 2u + 1u];
      c0l += s.x * l;
      c0r += s.x * r;
      c1l += s.y * l;
      c1r += s.y * r;
      c2l += s.z * l;
      c2r += s.z * r;
      c3l += s.w * l;
      c3r += s.w * r;
      c4l += t.x * l;
      c4r += t.x * r;
      c5l += t.y * l;
      c5r += t.y * r;
      c6l += t.z * l;
      c6r += t.z * r;
      c7l += t.w * l;
      c7r += t.w * r;
    }
    workgroupBarrier();
  }
  let row = group.y * 64u + thread.y * 8u;
  let column = group.x * 16u + thread.x * 2u;
  y[(row + 0u) * n4 + column] = c0l;
  y[(row + 0u) * n4 + column + 1u] = c0r;
  y[(row + 1u) * n4 + column] = c1l;
  y[(row + 1u) * n4 + column + 1u] = c1r;
  y[(row + 2u) * n4 + column] = c2l;
  y[(row + 2u) * n4 + column + 1u] = c2r;
  y[(row + 3u) * n4 + column] = c3l;
  y[(row + 3u) * n4 + column + 1u] = c3r;
  y[(row + 4u) * n4 + column] = c4l;
  y[(row + 4u) * n4 + column + 1u] = c4r;
  y[(row + 5u) * n4 + column] = c5l;
  y[(row + 5u) * n4 + column + 1u] = c5r;
  y[(row + 6u) * n4 + column] = c6l;
  y[(row + 6u) * n4 + column + 1u] = c6r;
  y[(row + 7u) * n4 + column] = c7l;
  y[(row + 7u) * n4 + column + 1u] = c7r;
}
