// one AdamW step as adamw.wgsl's, and the new weights in f16 beside: half = w
// grid: THREADS PER_THREAD elements a workgroup
const THREADS: u32 = 64;
const PER_THREAD: u32 = 4;

alias H = f32;

// The host works out in f64 what would lose bits here: decay = 1 - learningRate weightDecay, stepSize = learningRate / correction1,
// inverseRoot = 1 / sqrt(correction2).
struct Params {
  n: u32,
  clip: f32,
  decay: f32,
  beta1: f32,
  oneMinusBeta1: f32,
  beta2: f32,
  oneMinusBeta2: f32,
  stepSize: f32,
  inverseRoot: f32,
  eps: f32,
}

@group(0) @binding(0) var<storage, read> g: array<f32>;
// as bits: a compiler may assume that floats are finite and drop the test
@group(0) @binding(1) var<storage, read> normSquared: array<u32>;
@group(0) @binding(2) var<storage, read_write> w: array<f32>;
@group(0) @binding(3) var<storage, read_write> m: array<f32>;
@group(0) @binding(4) var<storage, read_write> v: array<f32>;
@group(0) @binding(5) var<storage, read_write> half: array<H>;
@group(0) @binding(6) var<uniform> params: Params;

const EXPONENT_BITS: u32 = 0x7f800000;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let normBits = normSquared[0];
  if ((normBits & EXPONENT_BITS) == EXPONENT_BITS) { return; }
  var clip = 1.0;
  if (params.clip > 0.0) { clip = min(1.0, params.clip / (sqrt(bitcast<f32>(normBits)) + 1e-6)); }
  let first = (group.y * groups.x + group.x) * (THREADS * PER_THREAD);
  let end = min(first + THREADS * PER_THREAD, params.n);
  for (var i = first + lane; i < end; i += THREADS) {
    let grad = clip * g[i];
    let mean = params.beta1 * m[i] + params.oneMinusBeta1 * grad;
    let square = params.beta2 * v[i] + params.oneMinusBeta2 * grad * grad;
    m[i] = mean;
    v[i] = square;
    let after = params.decay * w[i] - params.stepSize * mean / (sqrt(square) * params.inverseRoot + params.eps);
    w[i] = after;
    half[i] = H(after);
  }
}
