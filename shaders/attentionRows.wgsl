// y = softmax(causal(scale q kT)) v by online softmax, lse = its log-sum-exp: FlashAttention-2, arXiv 2307.08691. For adapters whose
// subgroups are CPU vectors: a workgroup is one subgroup, a lane takes one query; keys are loaded by all lanes together and broadcast.
// Grid: 2-D over tiles of queries, one a lane, x heads x batch.
enable subgroups;

const LANES: u32 = 8u;
const HEAD_WIDTH: u32 = 20u;
const DROPOUT: bool = false;
/// Chunks of 4 columns a lane, HEAD_WIDTH / (4 LANES) rounded up, and a row's vectors in all of them. Lines marked `each` are repeated when the
/// shader is made (see expand in specialise.ts): an index that is no number makes SwiftShader gather and scatter, in memory.
const CHUNKS: u32 = 1u;
const VECTORS: u32 = 8u;
const c = 0u;
const i = 0u;
/// Whether lanes 4 to 7 hold columns at all.
const HIGH = LANES == 8u && HEAD_WIDTH > 16u;

alias T = f32;

struct Params {
  heads: u32,
  kvHeads: u32,
  queries: u32,
  keys: u32,
  capacity: u32,
  rowTiles: u32,
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
@group(0) @binding(2) var<storage, read_write> y: array<vec4<T>>;
@group(0) @binding(3) var<storage, read_write> lse: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

// In place of -inf, which WGSL need not honour.
const MASKED = -1e30;

fn loadQ(at: u32, c: u32) -> vec4f {
  if (c >= HEAD_WIDTH) {
    return vec4f();
  }
  let i = at + c;
  if (HEAD_WIDTH % 4u == 0u) {
    return vec4f(q[i / 4u]);
  }
  // Columns past the head's last count as 0. The last is read in their place: there may be nothing behind it.
  let more = HEAD_WIDTH - 1u - c;
  let j = i + min(vec4u(0u, 1u, 2u, 3u), vec4u(more));
  let v = vec4<T>(q[j.x / 4u][j.x % 4u], q[j.y / 4u][j.y % 4u], q[j.z / 4u][j.z % 4u], q[j.w / 4u][j.w % 4u]);
  return select(vec4f(), vec4f(v), vec4u(0u, 1u, 2u, 3u) <= vec4u(more));
}

fn loadKV(at: u32, c: u32) -> vec4f {
  if (c >= HEAD_WIDTH) {
    return vec4f();
  }
  let i = at + c;
  if (HEAD_WIDTH % 4u == 0u) {
    return vec4f(kv[i / 4u]);
  }
  // Columns past the head's last count as 0. The last is read in their place: there may be nothing behind it.
  let more = HEAD_WIDTH - 1u - c;
  let j = i + min(vec4u(0u, 1u, 2u, 3u), vec4u(more));
  let v = vec4<T>(kv[j.x / 4u][j.x % 4u], kv[j.y / 4u][j.y % 4u], kv[j.z / 4u][j.z % 4u], kv[j.w / 4u][j.w % 4u]);
  return select(vec4f(), vec4f(v), vec4u(0u, 1u, 2u, 3u) <= vec4u(more));
}

var<private> qs: array<vec4f, VECTORS>;
var<private> ys: array<vec4f, VECTORS>;

/// Products of this row's columns of chunk c and those of a row that the lanes hold together, in four partial sums.
fn dotQ(c: u32, x: vec4f) -> vec4f {
  let i = c * LANES;
  var sum = qs[i + 0u] * subgroupBroadcast(x, 0u) +
    qs[i + 1u] * subgroupBroadcast(x, 1u) +
    qs[i + 2u] * subgroupBroadcast(x, 2u) +
    qs[i + 3u] * subgroupBroadcast(x, 3u);
  if (HIGH) {
    sum += qs[i + 4u] * subgroupBroadcast(x, 4u % LANES) +
      qs[i + 5u] * subgroupBroadcast(x, 5u % LANES) +
      qs[i + 6u] * subgroupBroadcast(x, 6u % LANES) +
      qs[i + 7u] * subgroupBroadcast(x, 7u % LANES);
  }
  return sum;
}

/// Adds p times a row that the lanes hold together to this row's columns of chunk c.
fn addToY(c: u32, p: f32, x: vec4f) {
  let i = c * LANES;
  ys[i + 0u] += p * subgroupBroadcast(x, 0u);
  ys[i + 1u] += p * subgroupBroadcast(x, 1u);
  ys[i + 2u] += p * subgroupBroadcast(x, 2u);
  ys[i + 3u] += p * subgroupBroadcast(x, 3u);
  if (HIGH) {
    ys[i + 4u] += p * subgroupBroadcast(x, 4u % LANES);
    ys[i + 5u] += p * subgroupBroadcast(x, 5u % LANES);
    ys[i + 6u] += p * subgroupBroadcast(x, 6u % LANES);
    ys[i + 7u] += p * subgroupBroadcast(x, 7u % LANES);
  }
}

fn storeY(at: u32, c: u32, v: vec4f) {
  if (HEAD_WIDTH % 4u == 0u) {
    y[(at + c) / 4u] = vec4<T>(v);
    return;
  }
  for (var e = 0u; e < 4u; e++) {
    if (c + e < HEAD_WIDTH) {
      y[(at + c + e) / 4u][(at + c + e) % 4u] = T(v[e]);
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

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let tile = workgroup.y * workgroups.x + workgroup.x;
  if (tile >= params.tiles) {
    return;
  }
  let rowTile = tile % params.rowTiles;
  let h = tile / params.rowTiles % params.heads;
  let b = tile / (params.rowTiles * params.heads);
  let repeat = params.heads / params.kvHeads;
  let fused = (params.heads + 2u * params.kvHeads) * HEAD_WIDTH;
  let group = h / repeat * (repeat + 2u) * HEAD_WIDTH;
  let offsetK = group + repeat * HEAD_WIDTH;
  let past = params.keys - params.queries;
  let row = rowTile * LANES + lane;
  // Rows past the last repeat it; they are not stored.
  let query = min(row, params.queries - 1u);
  let atQ = (b * params.queries + query) * fused + group + h % repeat * HEAD_WIDTH;

  { //@ each i < VECTORS
    qs[i] = params.scale * loadQ(atQ, 4u * i);
    ys[i] = vec4f();
  }
  var m = MASKED;
  var sum = 0f;
  let visible = min(params.keys, rowTile * LANES + LANES + past);
  for (var first = 0u; first < visible; first += 4u) {
    let keys = first + vec4u(0u, 1u, 2u, 3u);
    let at = (b * params.capacity + min(keys, vec4u(params.keys - 1u))) * fused + offsetK;
    var s0 = vec4f();
    var s1 = vec4f();
    var s2 = vec4f();
    var s3 = vec4f();
    { //@ each c < CHUNKS
      let column = 4u * (c * LANES + lane);
      s0 += dotQ(c, loadKV(at.x, column));
      s1 += dotQ(c, loadKV(at.y, column));
      s2 += dotQ(c, loadKV(at.z, column));
      s3 += dotQ(c, loadKV(at.w, column));
    }
    // Sums across by a transpose: four at a time.
    let t = transpose(mat4x4f(s0, s1, s2, s3));
    let s = select(vec4f(MASKED), (t[0] + t[1]) + (t[2] + t[3]), keys <= vec4u(query + past));
    let mNew = max(m, max(max(s.x, s.y), max(s.z, s.w)));
    let shrink = exp(m - mNew);
    m = mNew;
    var p = exp(s - m);
    sum = sum * shrink + ((p.x + p.y) + (p.z + p.w));
    if (DROPOUT) {
      p *= dropoutFactors(b, h, query, first);
    }
    { //@ each i < VECTORS
      ys[i] *= shrink;
    }
    { //@ each c < CHUNKS
      let column = 4u * (c * LANES + lane);
      addToY(c, p.x, loadKV(at.x + HEAD_WIDTH, column));
      addToY(c, p.y, loadKV(at.y + HEAD_WIDTH, column));
      addToY(c, p.z, loadKV(at.z + HEAD_WIDTH, column));
      addToY(c, p.w, loadKV(at.w + HEAD_WIDTH, column));
    }
  }
  if (row < params.queries) {
    let atY = ((b * params.queries + row) * params.heads + h) * HEAD_WIDTH;
    if (4u * i < HEAD_WIDTH) { //@ each i < VECTORS
      storeY(atY, 4u * i, ys[i] / sum);
    }
    lse[(b * params.heads + h) * params.queries + row] = m + log(sum);
  }
}
