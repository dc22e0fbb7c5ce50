// partials[p] = sum of x, or of x^2 (SQUARE), over the p-th of equal spans
// grid: a span a workgroup; THREADS (a power of two) threads with every THREADS-th element, and a tree over their sums
const THREADS: u32 = 64;
// elements a thread adds up before it adds them to its total: errors grow with n / BLOCK + BLOCK instead of n
const BLOCK: u32 = 32;
const SQUARE = false;

struct Params { n: u32, span: u32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> partials: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> tree: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = group.x * params.span;
  let end = min(first + params.span, params.n);
  var total = 0.0;
  for (var block = first + lane; block < end; block += THREADS * BLOCK) {
    let blockEnd = min(block + THREADS * BLOCK, end);
    var part = 0.0;
    for (var i = block; i < blockEnd; i += THREADS) {
      let value = x[i];
      part += select(value, value * value, SQUARE);
    }
    total += part;
  }
  if (THREADS > 1u) {
    tree[lane] = total;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
      workgroupBarrier();
      if (lane < half) { tree[lane] += tree[lane + half]; }
    }
    total = tree[lane]; // thread 0 wrote its own
  }
  if (lane == 0u) { partials[group.x] = total; }
}
