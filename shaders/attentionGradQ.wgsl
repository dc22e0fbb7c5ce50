// dq = scale ds k with ds = p (dp - delta), p = exp(scale q kT - lse), dp = dy vT (times dropout): FlashAttention-2, arXiv 2307.08691.
// A workgroup takes 32 queries of one head and walks over tiles of 32 keys; a thread keeps 4 x 4 of ds, 4 rows x 2 vec4 columns of dq.
// Grid: 2-D over chunks of 64 head columns (each computes ds again) x tiles of queries x heads x batch.
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


// [32 queries, 8 threads]: a thread's 4 ds of a query.
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
  let h = tile / (params.chunks * params.rowTiles) % params.heads;
  let b = tile / (params.chunks * params.rowTiles * params.heads);
  let repeat = params.heads / params.kvHeads;
  let fused = (params.heads + 2u * params.kvHeads) * params.headWidth;
  let group = h / repeat * (repeat + 2u) * params.headWidth;
  let offsetQ = group + h % repeat * params.headWidth;
  let offsetK = group + repeat * params.headWidth;
  let tx = thread.x;
  let ty = thread.y;
  let last = params.queries - 1u;
  let row = rowTile * 32u + ty * 4u;
  // Rows past the last repeat it; they are not stored.
  let rows = min(row + vec4u(0u, 1u, 2u, 3u), vec4u(last));
  let sample = b * params.queries;
  let atQ = (sample + rows) * fused + offsetQ;
  let atDy = ((sample + rows) * params.heads + h) * params.headWidth;
  let atLse = (b * params.heads + h) * params.queries + rows;
  let rowLse = vec4f(lse[atLse.x], lse[atLse.y], lse[atLse.z], lse[atLse.w]);
  let rowDelta = vec4f(delta[atLse.x], delta[atLse.y], delta[atLse.z], delta[atLse.w]);
  let c0 = chunk * 64u + tx * 4u;
  let c1 = c0 + 32u;

  var y0 = vec4f();
  var y1 = vec4f();
  var y2 = vec4f();
  var y3 = vec4f();
  var z0 = vec4f();
  var z1 = vec4f();
  var z2 = vec4f();
  var z3 = vec4f();
  let visible = min(params.queries, rowTile * 32u + 32u);
  for (var first = 0u; first < visible; first += 32u) {
    let key = first + tx * 4u;
    let atK = (sample + min(key + vec4u(0u, 1u, 2u, 3u), vec4u(last))) * fused + offsetK;
    var s0 = vec4f();
    var s1 = vec4f();
    var s2 = vec4f();
    var s3 = vec4f();
    var d0 = vec4f();
    var d1 = vec4f();
    var d2 = vec4f();
    var d3 = vec4f();
    for (var c = 0u; c < params.headWidth; c += 4u) {
      let k = mat4x4f(load(atK.x, c), load(atK.y, c), load(atK.z, c), load(atK.w, c));
      s0 += load(atQ.x, c) * k;
      s1 += load(atQ.y, c) * k;
      s2 += load(atQ.z, c) * k;
      s3 += load(atQ.w, c) * k;
    }
    for (var c = 0u; c < params.headWidth; c += 4u) {
      let v = mat4x4f(
        load(atK.x + params.headWidth, c),
        load(atK.y + params.headWidth, c),
        load(atK.z + params.headWidth, c),
        load(atK.w + params.headWidth, c),
      );
      d0 += loadDy(atDy.x, c) * v;
      d1 += loadDy(atDy.y, c) * v;
      d2 += loadDy(atDy.z, c) * v;
      d3 += loadDy(atDy.w, c) * v;
    }
    if (DROPOUT) {
      d0 *= dropoutFactors(b, h, rows.x, key);
      d1 *= dropoutFactors(b, h, rows.y, key);
      d2 *= dropoutFactors(b, h, rows.z, key);
      d3 *= dropoutFactors(b, h, rows.w, key);
    }
    let keys = key + vec4u(0u, 1u, 2u, 3u);
    s0 = select(vec4f(), exp(params.scale * s0 - rowLse.x), keys <= vec4u(rows.x)) * (d0 - rowDelta.x);
    s1 = select(vec4f(), exp(params.scale * s1 - rowLse.y), keys <= vec4u(rows.y)) * (d1 - rowDelta.y);
    s2 = select(vec4f(), exp(params.scale * s2 - rowLse.z), keys <= vec4u(rows.z)) * (d2 - rowDelta.z);
    s3 = select(vec4f(), exp(params.scale * s3 - rowLse.w), keys <= vec4u(rows.w)) * (d3 - rowDelta.w);
    let w = ty * 32u;
    workgroupBarrier();
    ds[w + 0u + tx] = s0;
    ds[w + 8u + tx] = s1;
    ds[w + 16u + tx] = s2;
    ds[w + 24u + tx] = s3;
    workgroupBarrier();
    if (c0 < params.headWidth) {
      let count = min(32u, visible - first);
      for (var j = 0u; j < count; j += 4u) {
        let at = (sample + min(first + j + vec4u(0u, 1u, 2u, 3u), vec4u(last))) * fused + offsetK;
        let p0 = ds[w + 0u + j / 4u];
        let p1 = ds[w + 8u + j / 4u];
        let p2 = ds[w + 16u + j / 4u];
        let p3 = ds[w + 24u + j / 4u];
        let k = mat4x4f(load(at.x, c0), load(at.y, c0), load(at.z, c0), load(at.w, c0));
        y0 += k * p0;
        y1 += k * p1;
        y2 += k * p2;
        y3 += k * p3;
        if (WIDE && c1 < params.headWidth) {
          let u = mat4x4f(load(at.x, c1), load(at.y, c1), load(at.z, c1), load(at.w, c1));
          z0 += u * p0;
          z1 += u * p1;
          z2 += u * p2;
          z3 += u * p3;
        }
      }
    }
  }

  if (row + 0u < params.queries) {
    store(atQ.x, c0, params.scale * y0);
    if (WIDE) {
      store(atQ.x, c1, params.scale * z0);
    }
  }
  if (row + 1u < params.queries) {
    store(atQ.y, c0, params.scale * y1);
    if (WIDE) {
      store(atQ.y, c1, params.scale * z1);
    }
  }
  if (row + 2u < params.queries) {
    store(atQ.z, c0, params.scale * y2);
    if (WIDE) {
      store(atQ.z, c1, params.scale * z2);
    }
  }
  if (row + 3u < params.queries) {
    store(atQ.w, c0, params.scale * y3);
    if (WIDE) {
      store(atQ.w, c1, params.scale * z3);
    }
  }
}
