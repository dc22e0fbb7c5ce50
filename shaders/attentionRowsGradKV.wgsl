// dk = scale dsT q, dv = pT dy (times dropout), summed over the heads of a key-value head: FlashAttention-2, arXiv 2307.08691.
// For adapters whose subgroups are CPU vectors: a lane takes one key; queries are loaded by all lanes together and broadcast.
// Grid: 2-D over tiles of keys, one a lane, x key-value heads x batch.
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

@group(0) @binding(0) var<storage, read> qkv: array<vec4<T>>;
@group(0) @binding(1) var<storage, read> dy: array<vec4<T>>;
@group(0) @binding(2) var<storage, read> lse: array<f32>;
@group(0) @binding(3) var<storage, read> delta: array<f32>;
@group(0) @binding(4) var<storage, read_write> dqkv: array<vec4<T>>;
@group(0) @binding(5) var<uniform> params: Params;

fn load(at: u32, c: u32) -> vec4f {
  if (c >= HEAD_WIDTH) {
    return vec4f();
  }
  let i = at + c;
  if (HEAD_WIDTH % 4u == 0u) {
    return vec4f(qkv[i / 4u]);
  }
  // Columns past the head's last count as 0. The last is read in their place: there may be nothing behind it.
  let more = HEAD_WIDTH - 1u - c;
  let j = i + min(vec4u(0u, 1u, 2u, 3u), vec4u(more));
  let v = vec4<T>(qkv[j.x / 4u][j.x % 4u], qkv[j.y / 4u][j.y % 4u], qkv[j.z / 4u][j.z % 4u], qkv[j.w / 4u][j.w % 4u]);
  return select(vec4f(), vec4f(v), vec4u(0u, 1u, 2u, 3u) <= vec4u(more));
}

fn loadDy(at: u32, c: u32) -> vec4f {
  if (c >= HEAD_WIDTH) {
    return vec4f();
  }
  let i = at + c;
  if (HEAD_WIDTH % 4u == 0u) {
    return vec4f(dy[i / 4u]);
  }
  // Columns past the head's last count as 0. The last is read in their place: there may be nothing behind it.
  let more = HEAD_WIDTH - 1u - c;
  let j = i + min(vec4u(0u, 1u, 2u, 3u), vec4u(more));
  let v = vec4<T>(dy[j.x / 4u][j.x % 4u], dy[j.y / 4u][j.y % 4u], dy[j.z / 4u][j.z % 4u], dy[j.w / 4u][j.w % 4u]);
  return select(vec4f(), vec4f(v), vec4u(0u, 1u, 2u, 3u) <= vec4u(more));
}

var<private> ks: array<vec4f, VECTORS>;
var<private> vs: array<vec4f, VECTORS>;
var<private> dks: array<vec4f, VECTORS>;
var<private> dvs: array<vec4f, VECTORS>;

/// Products of this row's columns of chunk c and those of a row that the lanes hold together, in four partial sums.
fn dotK(c: u32, x: vec4f) -> vec4f {
  let i = c * LANES;
  var sum = ks[i + 0u] * subgroupBroadcast(x, 0u) +
    ks[i + 1u] * subgroupBroadcast(x, 1u) +
    ks[i + 2u] * subgroupBroadcast(x, 2u) +
    ks[i + 3u] * subgroupBroadcast(x, 3u);
  if (HIGH) {
    sum += ks[i + 4u] * subgroupBroadcast(x, 4u % LANES) +
      ks[i + 5u] * subgroupBroadcast(x, 5u % LANES) +
      ks[i + 6u] * subgroupBroadcast(x, 6u % LANES) +
      ks[i + 7u] * subgroupBroadcast(x, 7u % LANES);
  }
  return sum;
}

/// Products of this row's columns of chunk c and those of a row that the lanes hold together, in four partial sums.
fn dotV(c: u32, x: vec4f) -> vec4f {
  let i = c * LANES;
  var sum = vs[i + 0u] * subgroupBroadcast(x, 0u) +
    vs[i + 1u] * subgroupBroadcast(x, 1u) +
    vs[i + 2u] * subgroupBroadcast(x, 2u) +
    vs[i + 3u] * subgroupBroadcast(x, 3u);
  if (HIGH) {
    sum += vs[i + 4u] * subgroupBroadcast(x, 4u % LANES) +
      vs[i + 5u] * subgroupBroadcast(x, 5u % LANES) +
      vs[i + 6u] * subgroupBroadcast(x, 6u % LANES) +
      vs[i + 7u] * subgroupBroadcast(x, 7u % LANES);
  }
  return sum;
}

/// Adds p times a row that the lanes hold together to this row's columns of chunk c.
fn addToDk(c: u32, p: f32, x: vec4f) {
  let i = c * LANES;
  dks[i + 0u] += p * subgroupBroadcast(x, 0u);
  dks[i + 1u] += p * subgroupBroadcast(x, 1u);
  dks[i + 2u] += p * subgroupBroadcast(x, 2u);
  dks[i + 3u] += p * subgroupBroadcast(x, 3u);
  if (HIGH) {
    dks[i + 4u] += p * subgroupBroadcast(x, 4u % LANES);
    dks[i + 5u] += p * subgroupBroadcast(x, 5u % LANES);
    dks[i + 6u] += p * subgroupBroadcast(x, 6u % LANES);
    dks[i + 7u] += p * subgroupBroadcast(x, 7u % LANES);
  }
}

/// Adds p times a row that the lanes hold together to this row's columns of chunk c.
fn addToDv(c: u32, p: f32, x: vec4f) {
  let i = c * LANES;
  dvs[i + 0u] += p * subgroupBroadcast(x, 0u);
  dvs[i + 1u] += p * subgroupBroadcast(x, 1u);
  dvs[i + 2u] += p * subgroupBroadcast(x, 2u);
  dvs[i + 3u] += p * subgroupBroadcast(x, 3u);
  if (HIGH) {
    dvs[i + 4u] += p * subgroupBroadcast(x, 4u % LANES);
    dvs[i + 5u] += p * subgroupBroadcast(x, 5u % LANES);
    dvs[i + 6u] += p * subgroupBroadcast(x, 6u % LANES);
    dvs[i + 7u] += p * subgroupBroadcast(x, 7u % LANES);
  }
}

fn store(at: u32, c: u32, v: vec4f) {
  if (HEAD_WIDTH % 4u == 0u) {
    dqkv[(at + c) / 4u] = vec4<T>(v);
    return;
  }
  for (var e = 0u; e < 4u; e++) {
    if (c + e < HEAD_WIDTH) {
      dqkv[(at + c + e) / 4u][(at + c + e) % 4u] = T(v[e]);
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

/// What dropout multiplies the weight of one key by, for one query.
fn dropoutFactor(b: u32, h: u32, query: u32, key: u32) -> f32 {
  let row = ((b + params.batchOffset) * params.globalHeads + h + params.headOffset) * params.queries + query;
  let words = philox(vec4u(key >> 2u, row, params.step, params.stream), vec2u(params.seed, 0u));
  return select(params.keep, 0f, words[key & 3u] < params.threshold);
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
  let g = tile / params.rowTiles % params.kvHeads;
  let b = tile / (params.rowTiles * params.kvHeads);
  let repeat = params.heads / params.kvHeads;
  let fused = (params.heads + 2u * params.kvHeads) * HEAD_WIDTH;
  let group = g * (repeat + 2u) * HEAD_WIDTH;
  let row = rowTile * LANES + lane;
  // Rows past the last repeat it; they are not stored.
  let key = min(row, params.queries - 1u);
  let atK = (b * params.queries + key) * fused + group + repeat * HEAD_WIDTH;

  { //@ each i < VECTORS
    ks[i] = params.scale * load(atK, 4u * i);
    vs[i] = load(atK + HEAD_WIDTH, 4u * i);
    dks[i] = vec4f();
    dvs[i] = vec4f();
  }
  for (var r = 0u; r < repeat; r++) {
    let h = g * repeat + r;
    for (var query = rowTile * LANES; query < params.queries; query++) {
      let atQ = (b * params.queries + query) * fused + group + r * HEAD_WIDTH;
      let atDy = ((b * params.queries + query) * params.heads + h) * HEAD_WIDTH;
      let statistic = (b * params.heads + h) * params.queries + query;
      var s = vec4f();
      var d = vec4f();
      let x_c = load(atQ, 4u * (c * LANES + lane)); //@ each c < CHUNKS
      let z_c = loadDy(atDy, 4u * (c * LANES + lane)); //@ each c < CHUNKS
      s += dotK(c, x_c); //@ each c < CHUNKS
      d += dotV(c, z_c); //@ each c < CHUNKS
      let p = select(0f, exp((s.x + s.y) + (s.z + s.w) - lse[statistic]), key <= query);
      var keep = 1f;
      if (DROPOUT) {
        keep = dropoutFactor(b, h, query, key);
      }
      let ds = p * (keep * ((d.x + d.y) + (d.z + d.w)) - delta[statistic]);
      let pKept = keep * p;
      { //@ each c < CHUNKS
        addToDk(c, ds, x_c);
        addToDv(c, pKept, z_c);
      }
    }
  }
  if (row < params.queries) {
    if (4u * i < HEAD_WIDTH) { //@ each i < VECTORS
      store(atK, 4u * i, params.scale * dks[i]);
      store(atK + HEAD_WIDTH, 4u * i, dvs[i]);
    }
  }
}
