// dk = scale dsT q and dv = pT dy (p times dropout), summed over the heads that share the keys; p and ds as in attentionGradQ.
// A workgroup takes 32 keys of one key-value head and walks over its heads and, from the diagonal on, tiles of 32 queries; a thread
// keeps 4 x 4 of pT and dsT, and 4 rows x 2 vec4 columns of dk and dv.
// Grid: 2-D over chunks of 64 head columns (each computes p and ds again) x tiles of keys x key-value heads x batch.
/// The head width is a multiple of 4; it is above 32.
const ALIGNED: bool = false;
const WIDE: bool = true;
const DROPOUT: bool = false;

alias T = f32;

struct Params {
  heads: u32,
  kvHeads: u32,
  queries: u32,
  headWidth: u32,
  rowTiles: u32,
  chunks: u32,
  tiles: u32,
  scale: f32,
  // threshold = floor(probability 2^32), keep = 1 / (1 - probability)
  threshold: u32,
  keep: f32,
  seed: u32,
  stream: u32,
  step: u32,
  batchOffset: u32,
  headOffset: u32,
  globalHeads: u32,
}

@group(0) @binding(0) var<storage, read> qkv: array<vec4<T>>;
@group(0) @binding(1) var<storage, read> dy: array<vec4<T>>;
@group(0) @binding(2) var<storage, read> lse: array<f32>;
@group(0) @binding(3) var<storage, read> delta: array<f32>;
@group(0) @binding(4) var<storage, read_write> dqkv: array<T>;
@group(0) @binding(5) var<uniform> params: Params;


// [32 keys, 8 threads]: a thread's 4 queries of a key.
var<workgroup> ps: array<vec4f, 256>;
var<workgroup> ds: array<vec4f, 256>;

fn load(at: u32, c: u32) -> vec4f {
  let i = at + c;
  if (ALIGNED) {
    return vec4f(qkv[i / 4u]);
  }
  // Columns past the head's last count as 0. The last is read in their place: there may be nothing behind it.
  let more = params.headWidth - 1u - c;
  let j = i + min(vec4u(0u, 1u, 2u, 3u), vec4u(more));
  let v = vec4<T>(qkv[j.x / 4u][j.x % 4u], qkv[j.y / 4u][j.y % 4u], qkv[j.z / 4u][j.z % 4u], qkv[j.w / 4u][j.w % 4u]);
  return select(vec4f(), vec4f(v), vec4u(0u, 1u, 2u, 3u) <= vec4u(more));
}

fn loadDy(at: u32, c: u32) -> vec4f {
  let i = at + c;
  if (ALIGNED) {
    return vec4f(dy[i / 4u]);
  }
  // Columns past the head's last count as 0. The last is read in their place: there may be nothing behind it.
  let more = params.headWidth - 1u - c;
  let j = i + min(vec4u(0u, 1u, 2u, 3u), vec4u(more));
  let v = vec4<T>(dy[j.x / 4u][j.x % 4u], dy[j.y / 4u][j.y % 4u], dy[j.z / 4u][j.z % 4u], dy[j.w / 4u][j.w % 4u]);
  return select(vec4f(), vec4f(v), vec4u(0u, 1u, 2u, 3u) <= vec4u(more));
}

fn store(at: u32, c: u32, v: vec4f) {
  for (var e = 0u; e < 4u; e++) {
    if (c + e < params.headWidth) {
      dqkv[at + c + e] = T(v[e]);
    }
  }
}

// The upper 32 bits of a b, from 16-bit halves: WGSL has no wide product.
fn mulHigh(a: u32, b: u32) -> u32 {
  let aLow = a & 0xffffu;
  let aHigh = a >> 16u;
  let bLow = b & 0xffffu;
  let bHigh = b >> 16u;
  let cross = aHigh * bLow + ((aLow * bLow) >> 16u);
  let middle = aLow * bHigh + (cross & 0xffffu);
  return aHigh * bHigh + (cross >> 16u) + (middle >> 16u);
}

fn philox(counter: vec4u, key: vec2u) -> vec4u {
  var c = counter;
  var k = key;
  for (var round = 0u; round < 10u; round++) {
    c = vec4u(
      mulHigh(0xCD9E8D57u, c.z) ^ c.y ^ k.x,
      0xCD9E8D57u * c.z,
      mulHigh(0xD2511F53u, c.x) ^ c.w ^ k.y,
      0xD2511F53u * c.x,
    );
    k += vec2u(0x9E3779B9u, 0xBB67AE85u);
  }
  return c;
}

/// What dropout multiplies the weights of keys key .. key + 3 by, for one query.
fn dropoutFactors(b: u32, h: u32, query: u32, key: u32) -> vec4f {
  let row = ((b + params.batchOffset) * params.globalHeads + h + params.headOffset) * params.queries + query;
  let words = philox(vec4u(key >> 2u, row, params.step, params.stream), vec2u(params.seed, 0u));
  return select(vec4f(params.keep), vec4f(), words < vec4u(params.threshold));
}

@compute @workgroup_size(8, 8)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
  @builtin(local_invocation_id) thread: vec3u,
) {
  let tile = workgroup.y * workgroups.x + workgroup.x;
  if (tile >= params.tiles) {
    return;
  }
  let chunk = tile % params.chunks;
  let rowTile = tile / params.chunks % params.rowTiles;
  let g = tile / (params.chunks * params.rowTiles) % params.kvHeads;
  let b = tile / (params.chunks * params.rowTiles * params.kvHeads);
  let repeat = params.heads / params.kvHeads;
  let fused = (params.heads + 2u * params.kvHeads) * params.headWidth;
  let group = g * (repeat + 2u) * params.headWidth;
  let offsetK = group + repeat * params.headWidth;
  let tx = thread.x;
  let ty = thread.y;
  let last = params.queries - 1u;
  let row = rowTile * 32u + ty * 4u;
  // Rows past the last repeat it; they are not stored.
  let rows = min(row + vec4u(0u, 1u, 2u, 3u), vec4u(last));
  let sample = b * params.queries;
  let atK = (sample + rows) * fused + offsetK;
  let c0 = chunk * 64u + tx * 4u;
  let c1 = c0 + 32u;

  var k0 = vec4f();
  var k1 = vec4f();
  var k2 = vec4f();
  var k3 = vec4f();
  var l0 = vec4f();
  var l1 = vec4f();
  var l2 = vec4f();
  var l3 = vec4f();
  var v0 = vec4f();
  var v1 = vec4f();
  var v2 = vec4f();
  var v3 = vec4f();
  var w0 = vec4f();
  var w1 = vec4f();
  var w2 = vec4f();
  var w3 = vec4f();
  for (var r = 0u; r < repeat; r++) {
    let h = g * repeat + r;
    let offsetQ = group + r * params.headWidth;
    for (var first = rowTile * 32u; first < params.queries; first += 32u) {
      let query = first + tx * 4u;
      let queries = query + vec4u(0u, 1u, 2u, 3u);
      let inside = min(queries, vec4u(last));
      let atQ = (sample + inside) * fused + offsetQ;
      let atDy = ((sample + inside) * params.heads + h) * params.headWidth;
      let atLse = (b * params.heads + h) * params.queries + inside;
      let rowLse = vec4f(lse[atLse.x], lse[atLse.y], lse[atLse.z], lse[atLse.w]);
      let rowDelta = vec4f(delta[atLse.x], delta[atLse.y], delta[atLse.z], delta[atLse.w]);
      var s0 = vec4f();
      var s1 = vec4f();
      var s2 = vec4f();
      var s3 = vec4f();
      var d0 = vec4f();
      var d1 = vec4f();
      var d2 = vec4f();
      var d3 = vec4f();
      for (var c = 0u; c < params.headWidth; c += 4u) {
        let q = mat4x4f(load(atQ.x, c), load(atQ.y, c), load(atQ.z, c), load(atQ.w, c));
        s0 += load(atK.x, c) * q;
        s1 += load(atK.y, c) * q;
        s2 += load(atK.z, c) * q;
        s3 += load(atK.w, c) * q;
      }
      for (var c = 0u; c < params.headWidth; c += 4u) {
        let o = mat4x4f(loadDy(atDy.x, c), loadDy(atDy.y, c), loadDy(atDy.z, c), loadDy(atDy.w, c));
        d0 += load(atK.x + params.headWidth, c) * o;
        d1 += load(atK.y + params.headWidth, c) * o;
        d2 += load(atK.z + params.headWidth, c) * o;
        d3 += load(atK.w + params.headWidth, c) * o;
      }
      s0 = select(vec4f(), exp(params.scale * s0 - rowLse), (vec4u(row + 0u) <= queries) & (queries <= vec4u(last)));
      s1 = select(vec4f(), exp(params.scale * s1 - rowLse), (vec4u(row + 1u) <= queries) & (queries <= vec4u(last)));
      s2 = select(vec4f(), exp(params.scale * s2 - rowLse), (vec4u(row + 2u) <= queries) & (queries <= vec4u(last)));
      s3 = select(vec4f(), exp(params.scale * s3 - rowLse), (vec4u(row + 3u) <= queries) & (queries <= vec4u(last)));
      var f = mat4x4f(vec4f(1), vec4f(1), vec4f(1), vec4f(1));
      if (DROPOUT) {
        // A query's factors hold 4 keys; a row here is a key.
        f = transpose(mat4x4f(
          dropoutFactors(b, h, inside.x, row),
          dropoutFactors(b, h, inside.y, row),
          dropoutFactors(b, h, inside.z, row),
          dropoutFactors(b, h, inside.w, row),
        ));
      }
      let at = ty * 32u;
      workgroupBarrier();
      ps[at + 0u + tx] = s0 * f[0];
      ps[at + 8u + tx] = s1 * f[1];
      ps[at + 16u + tx] = s2 * f[2];
      ps[at + 24u + tx] = s3 * f[3];
      ds[at + 0u + tx] = s0 * (f[0] * d0 - rowDelta);
      ds[at + 8u + tx] = s1 * (f[1] * d1 - rowDelta);
      ds[at + 16u + tx] = s2 * (f[2] * d2 - rowDelta);
      ds[at + 24u + tx] = s3 * (f[3] * d3 - rowDelta);
      workgroupBarrier();
      if (c0 < params.headWidth) {
        let count = min(32u, params.queries - first);
        for (var j = 0u; j < count; j += 4u) {
          let rowsAt = sample + min(first + j + vec4u(0u, 1u, 2u, 3u), vec4u(last));
          let fromQ = rowsAt * fused + offsetQ;
          let fromDy = (rowsAt * params.heads + h) * params.headWidth;
          let p0 = ps[at + 0u + j / 4u];
          let p1 = ps[at + 8u + j / 4u];
          let p2 = ps[at + 16u + j / 4u];
          let p3 = ps[at + 24u + j / 4u];
          let e0 = ds[at + 0u + j / 4u];
          let e1 = ds[at + 8u + j / 4u];
          let e2 = ds[at + 16u + j / 4u];
          let e3 = ds[at + 24u + j / 4u];
          let q = mat4x4f(load(fromQ.x, c0), load(fromQ.y, c0), load(fromQ.z, c0), load(fromQ.w, c0));
          k0 += q * e0;
          k1 += q * e1;
          k2 += q * e2;
          k3 += q * e3;
          let o = mat4x4f(loadDy(fromDy.x, c0), loadDy(fromDy.y, c0), loadDy(fromDy.z, c0), loadDy(fromDy.w, c0));
          v0 += o * p0;
          v1 += o * p1;
          v2 += o * p2;
          v3 += o * p3;
          if (WIDE && c1 < params.headWidth) {
            let t = mat4x4f(load(fromQ.x, c1), load(fromQ.y, c1), load(fromQ.z, c1), load(fromQ.w, c1));
            l0 += t * e0;
            l1 += t * e1;
            l2 += t * e2;
            l3 += t * e3;
            let u = mat4x4f(loadDy(fromDy.x, c1), loadDy(fromDy.y, c1), loadDy(fromDy.z, c1), loadDy(fromDy.w, c1));
            w0 += u * p0;
            w1 += u * p1;
            w2 += u * p2;
            w3 += u * p3;
          }
        }
      }
    }
  }

  if (row + 0u < params.queries) {
    store(atK.x, c0, params.scale * k0);
    store(atK.x + params.headWidth, c0, v0);
    if (WIDE) {
      store(atK.x, c1, params.scale * l0);
      store(atK.x + params.headWidth, c1, w0);
    }
  }
  if (row + 1u < params.queries) {
    store(atK.y, c0, params.scale * k1);
    store(atK.y + params.headWidth, c0, v1);
    if (WIDE) {
      store(atK.y, c1, params.scale * l1);
      store(atK.y + params.headWidth, c1, w1);
    }
  }
  if (row + 2u < params.queries) {
    store(atK.z, c0, params.scale * k2);
    store(atK.z + params.headWidth, c0, v2);
    if (WIDE) {
      store(atK.z, c1, params.scale * l2);
      store(atK.z + params.headWidth, c1, w2);
    }
  }
  if (row + 3u < params.queries) {
    store(atK.w, c0, params.scale * k3);
    store(atK.w + params.headWidth, c0, v3);
    if (WIDE) {
      store(atK.w, c1, params.scale * l3);
      store(atK.w + params.headWidth, c1, w3);
    }
  }
}
