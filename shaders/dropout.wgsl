// y = x / (1 - probability) where philox(counter = [col >> 2, row, step, stream], key = [seed, 0])[col & 3] >= threshold, else 0;
// Philox 4x32-10: Salmon, Moraes, Dror & Shaw, SC 2011
// grid: x over blocks of 4 columns, y and z over rows; GROUP_ROWS rows a workgroup, ROW_THREADS threads a row
const ROW_THREADS: u32 = 32;
const GROUP_ROWS: u32 = 8;

alias T = f32;

// threshold = floor(probability 2^32), keep = 1 / (1 - probability)
struct Params {
  rows: u32,
  cols: u32,
  rowOffset: u32,
  colOffset: u32,
  threshold: u32,
  keep: f32,
  seed: u32,
  stream: u32,
  step: u32,
}

@group(0) @binding(0) var<storage, read> x: array<T>;
@group(0) @binding(1) var<storage, read_write> y: array<T>;
@group(0) @binding(2) var<uniform> params: Params;

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

@compute @workgroup_size(ROW_THREADS * GROUP_ROWS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (group.z * groups.y + group.y) * GROUP_ROWS + lane / ROW_THREADS;
  if (row >= params.rows) { return; }
  let first = group.x * ROW_THREADS + lane % ROW_THREADS;
  let stride = ROW_THREADS * groups.x;
  // blocks of the whole's columns, so the first and the last may be cut
  let firstBlock = params.colOffset >> 2u;
  let blocks = ((params.colOffset + params.cols - 1u) >> 2u) - firstBlock + 1u;
  for (var b = first; b < blocks; b += stride) {
    let block = firstBlock + b;
    let words = philox(vec4u(block, row + params.rowOffset, params.step, params.stream), vec2u(params.seed, 0u));
    for (var k = 0u; k < 4u; k++) {
      let col = block * 4u + k;
      if (col < params.colOffset || col >= params.colOffset + params.cols) { continue; }
      let i = row * params.cols + col - params.colOffset;
      y[i] = T(select(f32(x[i]) * params.keep, 0.0, words[k] < params.threshold));
    }
  }
}
