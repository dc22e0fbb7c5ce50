// y = softmax(causal(scale q kT)) v by online softmax, lse = its log-sum-exp: FlashAttention-2, arXiv 2307.08691. A workgroup takes 32
// queries of one head and walks over tiles of 32 keys; a thread keeps 4 x 4 scores and 4 rows x 2 vec4 columns of y.
// Grid: 2-D over chunks of 64 head columns (each computes the scores again) x tiles of queries x heads x batch.
/// The head width is a multiple of 4; it is above 32.
const ALIGNED: bool = false;
const WIDE: bool = true;
const DROPOUT: bool = false;

alias T = f32;

struct Params {
  heads: u32,
  kvHeads: u32,
  queries: u32,
  keys: u32,
  capacity: u32,
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

@group(0) @binding(0) var<storage, read> q: array<vec4<T>>;
@group(0) @binding(1) var<storage, read> kv: array<vec4<T>>;
@group(0) @binding(2) var<storage, read_write> y: array<T>;
@group(0) @binding(3) var<storage, read_write> lse: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

// In place of -inf, which WGSL need not honour.
const MASKED = -1e30;

// [32 queries, 8 threads]: a thread's 4 weights of a query; and each thread's maxima, later sums, of its 4 queries.
var<workgroup> weights: array<vec4f, 256>;
var<workgroup> partials: array<vec4f, 64>;

fn loadQ(at: u32, c: u32) -> vec4f {
  let i = at + c;
  if (ALIGNED) {
    return vec4f(q[i / 4u]);
  }
  // Columns past the head's last count as 0. The last is read in their place: there may be nothing behind it.
  let more = params.headWidth - 1u - c;
  let j = i + min(vec4u(0u, 1u, 2u, 3u), vec4u(more));
  let v = vec4<T>(q[j.x / 4u][j.x % 4u], q[j.y / 4u][j.y % 4u], q[j.z / 4u][j.z % 4u], q[j.w / 4u][j.w % 4u]);
  return select(vec4f(), vec4f(v), vec4u(0u, 1u, 2u, 3u) <= vec4u(more));
}

fn loadKV(at: u32, c: u32) -> vec4f {
  let i = at + c;
  if (ALIGNED) {
    return vec4f(kv[i / 4u]);
  }
  // Columns past the head's last count as 0. The last is read in their place: there may be nothing behind it.
  let more = params.headWidth - 1u - c;
  let j = i + min(vec4u(0u, 1u, 2u, 3u), vec4u(more));
  let v = vec4<T>(kv[j.x / 4u][j.x % 4u], kv[j.y / 4u][j.y % 4u], kv[j.z / 4u][j.z % 4u], kv[j.w / 4u][j.w % 4u]);
  return select(vec4f(), vec4f(v), vec4u(0u, 1u, 2u, 3u) <= vec4u(more));
}

fn storeY(at: u32, c: u32, v: vec4f) {
  for (var e = 0u; e < 4u; e++) {
    if (c + e < params.headWidth) {
      y[at + c + e] = T(v[e]);
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

fn maxima(ty: u32) -> vec4f {
  let i = ty * 8u;
  return max(
    max(max(partials[i], partials[i + 1u]), max(partials[i + 2u], partials[i + 3u])),
    max(max(partials[i + 4u], partials[i + 5u]), max(partials[i + 6u], partials[i + 7u])),
  );
}

fn sums(ty: u32) -> vec4f {
  let i = ty * 8u;
  return ((partials[i] + partials[i + 1u]) + (partials[i + 2u] + partials[i + 3u])) +
    ((partials[i + 4u] + partials[i + 5u]) + (partials[i + 6u] + partials[i + 7u]));
}

fn largest(v: vec4f) -> f32 {
  return max(max(v.x, v.y), max(v.z, v.w));
}

fn total(v: vec4f) -> f32 {
  return (v.x + v.y) + (v.z + v.w);
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
  let offsetV = offsetK + params.headWidth;
  let tx = thread.x;
  let ty = thread.y;
  let past = params.keys - params.queries;
  let row = rowTile * 32u + ty * 4u;
  // Rows past the last repeat it; they are not stored.
  let rows = min(row + vec4u(0u, 1u, 2u, 3u), vec4u(params.queries - 1u));
  let atQ = (b * params.queries + rows) * fused + offsetQ;
  let sampleKV = b * params.capacity * fused;
  let c0 = chunk * 64u + tx * 4u;
  let c1 = c0 + 32u;

  var m = vec4f(MASKED);
  var sum = vec4f();
  var y0 = vec4f();
  var y1 = vec4f();
  var y2 = vec4f();
  var y3 = vec4f();
  var z0 = vec4f();
  var z1 = vec4f();
  var z2 = vec4f();
  var z3 = vec4f();
  let visible = min(params.keys, rowTile * 32u + 32u + past);
  for (var first = 0u; first < visible; first += 32u) {
    let key = first + tx * 4u;
    let atK = sampleKV + min(key + vec4u(0u, 1u, 2u, 3u), vec4u(params.keys - 1u)) * fused + offsetK;
    var s0 = vec4f();
    var s1 = vec4f();
    var s2 = vec4f();
    var s3 = vec4f();
    for (var c = 0u; c < params.headWidth; c += 4u) {
      let k = mat4x4f(loadKV(atK.x, c), loadKV(atK.y, c), loadKV(atK.z, c), loadKV(atK.w, c));
      s0 += loadQ(atQ.x, c) * k;
      s1 += loadQ(atQ.y, c) * k;
      s2 += loadQ(atQ.z, c) * k;
      s3 += loadQ(atQ.w, c) * k;
    }
    let keys = key + vec4u(0u, 1u, 2u, 3u);
    s0 = select(vec4f(MASKED), params.scale * s0, keys <= vec4u(rows.x + past));
    s1 = select(vec4f(MASKED), params.scale * s1, keys <= vec4u(rows.y + past));
    s2 = select(vec4f(MASKED), params.scale * s2, keys <= vec4u(rows.z + past));
    s3 = select(vec4f(MASKED), params.scale * s3, keys <= vec4u(rows.w + past));
    partials[ty * 8u + tx] = vec4f(largest(s0), largest(s1), largest(s2), largest(s3));
    workgroupBarrier();
    let mNew = max(m, maxima(ty));
    let shrink = exp(m - mNew);
    m = mNew;
    s0 = exp(s0 - m.x);
    s1 = exp(s1 - m.y);
    s2 = exp(s2 - m.z);
    s3 = exp(s3 - m.w);
    sum = sum * shrink + vec4f(total(s0), total(s1), total(s2), total(s3));
    if (DROPOUT) {
      s0 *= dropoutFactors(b, h, rows.x, key);
      s1 *= dropoutFactors(b, h, rows.y, key);
      s2 *= dropoutFactors(b, h, rows.z, key);
      s3 *= dropoutFactors(b, h, rows.w, key);
    }
    let w = ty * 32u;
    weights[w + 0u + tx] = s0;
    weights[w + 8u + tx] = s1;
    weights[w + 16u + tx] = s2;
    weights[w + 24u + tx] = s3;
    workgroupBarrier();
    y0 *= shrink.x;
    y1 *= shrink.y;
    y2 *= shrink.z;
    y3 *= shrink.w;
    if (WIDE) {
      z0 *= shrink.x;
      z1 *= shrink.y;
      z2 *= shrink.z;
      z3 *= shrink.w;
    }
    if (c0 < params.headWidth) {
      // Keys past the last weigh nothing, but what lies there must not be read.
      let count = min(32u, visible - first);
      for (var j = 0u; j < count; j += 4u) {
        let atV = sampleKV + min(first + j + vec4u(0u, 1u, 2u, 3u), vec4u(params.keys - 1u)) * fused + offsetV;
        let p0 = weights[w + 0u + j / 4u];
        let p1 = weights[w + 8u + j / 4u];
        let p2 = weights[w + 16u + j / 4u];
        let p3 = weights[w + 24u + j / 4u];
        let v = mat4x4f(loadKV(atV.x, c0), loadKV(atV.y, c0), loadKV(atV.z, c0), loadKV(atV.w, c0));
        y0 += v * p0;
        y1 += v * p1;
        y2 += v * p2;
        y3 += v * p3;
        if (WIDE && c1 < params.headWidth) {
          let u = mat4x4f(loadKV(atV.x, c1), loadKV(atV.y, c1), loadKV(atV.z, c1), loadKV(atV.w, c1));
          z0 += u * p0;
          z1 += u * p1;
          z2 += u * p2;
          z3 += u * p3;
        }
      }
    }
  }

  // Every thread has read the last maxima: a barrier followed.
  partials[ty * 8u + tx] = sum;
  workgroupBarrier();
  let l = sums(ty);
  let logSum = m + log(l);
  let width = params.heads * params.headWidth;
  let atY = (b * params.queries + rows) * width + h * params.headWidth;
  let atLse = (b * params.heads + h) * params.queries + row;
  if (row + 0u < params.queries) {
    storeY(atY.x, c0, y0 / l.x);
    if (WIDE) {
      storeY(atY.x, c1, z0 / l.x);
    }
    if (tx == 0u && chunk == 0u) {
      lse[atLse + 0u] = logSum.x;
    }
  }
  if (row + 1u < params.queries) {
    storeY(atY.y, c0, y1 / l.y);
    if (WIDE) {
      storeY(atY.y, c1, z1 / l.y);
    }
    if (tx == 0u && chunk == 0u) {
      lse[atLse + 1u] = logSum.y;
    }
  }
  if (row + 2u < params.queries) {
    storeY(atY.z, c0, y2 / l.z);
    if (WIDE) {
      storeY(atY.z, c1, z2 / l.z);
    }
    if (tx == 0u && chunk == 0u) {
      lse[atLse + 2u] = logSum.z;
    }
  }
  if (row + 3u < params.queries) {
    storeY(atY.w, c0, y3 / l.w);
    if (WIDE) {
      storeY(atY.w, c1, z3 / l.w);
    }
    if (tx == 0u && chunk == 0u) {
      lse[atLse + 3u] = logSum.w;
    }
  }
}
