// y[0] (+)= scale * sum of partials[0 .. count)
// grid: one workgroup of THREADS (a power of two) threads with every THREADS-th partial, and a tree over their sums
const THREADS: u32 = 64;
const ACCUMULATE = false;

struct Params { count: u32, scale: f32 }

@group(0) @binding(0) var<storage, read> partials: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> tree: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) lane: u32) {
  var total = 0.0;
  for (var i = lane; i < params.count; i += THREADS) { total += partials[i]; }
  tree[lane] = total;
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { tree[lane] += tree[lane + half]; }
  }
  if (lane == 0u) {
    let value = params.scale * tree[0];
    if (ACCUMULATE) { y[0] += value; } else { y[0] = value; }
  }
}
