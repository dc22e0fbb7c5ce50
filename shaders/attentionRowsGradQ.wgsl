// dq = scale ds k with ds = p (dp - delta), p = exp(scale q kT - lse), dp = dy vT (times dropout): FlashAttention-2, arXiv 2307.08691.
// For adapters whose subgroups are CPU vectors: a lane takes one query; keys are loaded by all lanes together and broadcast.
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

var<private> qs: array<vec4f, VECTORS>;
var<private> dys: array<vec4f, VECTORS>;
var<private> dqs: array<vec4f, VECTORS>;

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

/// Products of this row's columns of chunk c and those of a row that the lanes hold together, in four partial sums.
fn dotDy(c: u32, x: vec4f) -> vec4f {
  let i = c * LANES;
  var sum = dys[i + 0u] * subgroupBroadcast(x, 0u) +
    dys[i + 1u] * subgroupBroadcast(x, 1u) +
    dys[i + 2u] * subgroupBroadcast(x, 2u) +
    dys[i + 3u] * subgroupBroadcast(x, 3u);
  if (HIGH) {
    sum += dys[i + 4u] * subgroupBroadcast(x, 4u % LANES) +
      dys[i + 5u] * subgroupBroadcast(x, 5u % LANES) +
      dys[i + 6u] * subgroupBroadcast(x, 6u % LANES) +
      dys[i + 7u] * subgroupBroadcast(x, 7u % LANES);
  }
  return sum;
}

/// Adds p times a row that the lanes hold together to this row's columns of chunk c.
fn addToDq(c: u32, p: f32, x: vec4f) {
  let i = c * LANES;
  dqs[i + 0u] += p * subgroupBroadcast(x, 0u);
  dqs[i + 1u] += p * subgroupBroadcast(x, 1u);
  dqs[i + 2u] += p * subgroupBroadcast(x, 2u);
  dqs[i + 3u] += p * subgroupBroadcast(x, 3u);
  if (HIGH) {
    dqs[i + 4u] += p * subgroupBroadcast(x, 4u % LANES);
    dqs[i + 5u] += p * subgroupBroadcast(x, 5u % LANES);
    dqs[i + 6u] += p * subgroupBroadcast(x, 6u % LANES);
    dqs[i + 7u] += p * subgroupBroadcast(x, 7u % LANES);
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
  let row = rowTile * LANES + lane;
  // Rows past the last repeat it; they are not stored.
  let query = min(row, params.queries - 1u);
  let atQ = (b * params.queries + query) * fused + group + h % repeat * HEAD_WIDTH;
  let atDy = ((b * params.queries + query) * params.heads + h) * HEAD_WIDTH;
  let statistic = (b * params.heads + h) * params.queries + query;
  let rowLse = lse[statistic];
  let rowDelta = delta[statistic];

  { //@ each i < VECTORS
    qs[i] = params.scale * load(atQ, 4u * i);
    dys[i] = loadDy(atDy, 4u * i);
    dqs[i] = vec4f();
  }
  let visible = min(params.queries, rowTile * LANES + LANES);
  for (var first = 0u; first < visible; first += 4u) {
    let keys = first + vec4u(0u, 1u, 2u, 3u);
    let at = (b * params.queries + min(keys, vec4u(params.queries - 1u))) * fused + offsetK;
    var s = mat4x4f();
    var d = mat4x4f();
    let column_c = 4u * (c * LANES + lane); //@ each c < CHUNKS
    let k0_c = load(at.x, column_c); //@ each c < CHUNKS
    let k1_c = load(at.y, column_c); //@ each c < CHUNKS
    let k2_c = load(at.z, column_c); //@ each c < CHUNKS
    let k3_c = load(at.w, column_c); //@ each c < CHUNKS
    { //@ each c < CHUNKS
      s[0] += dotQ(c, k0_c);
      s[1] += dotQ(c, k1_c);
      s[2] += dotQ(c, k2_c);
      s[3] += dotQ(c, k3_c);
      d[0] += dotDy(c, load(at.x + HEAD_WIDTH, column_c));
      d[1] += dotDy(c, load(at.y + HEAD_WIDTH, column_c));
      d[2] += dotDy(c, load(at.z + HEAD_WIDTH, column_c));
      d[3] += dotDy(c, load(at.w + HEAD_WIDTH, column_c));
    }
    let t = transpose(s);
    let u = transpose(d);
    let p = select(vec4f(), exp((t[0] + t[1]) + (t[2] + t[3]) - rowLse), keys <= vec4u(query));
    var dp = (u[0] + u[1]) + (u[2] + u[3]);
    if (DROPOUT) {
      dp *= dropoutFactors(b, h, query, first);
    }
    let ds = p * (dp - rowDelta);
    { //@ each c < CHUNKS
      addToDq(c, ds.x, k0_c);
      addToDq(c, ds.y, k1_c);
      addToDq(c, ds.z, k2_c);
      addToDq(c, ds.w, k3_c);
    }
  }
  if (row < params.queries) {
    if (4u * i < HEAD_WIDTH) { //@ each i < VECTORS
      store(atQ, 4u * i, params.scale * dqs[i]);
    }
  }
}
