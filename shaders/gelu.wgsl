// y = x Phi(x) (EXACT), or 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))); arXiv 1606.08415
// grid: THREADS PER_THREAD elements a workgroup
const THREADS: u32 = 64;
const PER_THREAD: u32 = 4;
const EXACT = false;

alias T = f32;

struct Params { n: u32 }

@group(0) @binding(0) var<storage, read> x: array<T>;
@group(0) @binding(1) var<storage, read_write> y: array<T>;
@group(0) @binding(2) var<uniform> params: Params;

// tanh form: 0.5 (1 + tanh(u)) = 1 / (1 + exp(-2 u)), u = sqrt(2 / pi) (t + 0.044715 t^3): a device's own tanh is allowed to be
// far off near 0. Beyond |x| = 12 both forms are 0 or 1 in f32, and the clamps keep t^3 and t^2 finite.
const SQRT_8_OVER_PI: f32 = 1.5957691216057308; // 2 sqrt(2 / pi)
const CUBIC: f32 = 0.044715;

fn expOfTanhForm(t: f32) -> f32 {
  return exp(-SQRT_8_OVER_PI * t * (1.0 + CUBIC * t * t));
}

// 1 - Phi(t) = density * normalTail(t) for 0 <= t <= 14, density = exp(-t^2 / 2): a weighted least-squares fit to
// erfcx(t / sqrt(2)) / 2 in q = 1 / (1 + 0.35 t), 3.2e-8 relative and 3.6e-7 when evaluated in f32.
fn normalTail(t: f32) -> f32 {
  let q = 1.0 / (1.0 + 0.35 * t);
  let z = q - 0.5;
  var p = -0.029157960787415504;
  p = p * z + 0.02739943563938141;
  p = p * z + 0.0441640205681324;
  p = p * z - 0.056140199303627014;
  p = p * z - 0.08173985779285431;
  p = p * z + 0.08187086135149002;
  p = p * z + 0.2843957841396332;
  p = p * z + 0.3429916203022003;
  p = p * z + 0.2532442808151245;
  return p * q;
}

fn gelu(v: f32) -> f32 {
  if (EXACT) {
    let t = min(abs(v), 14.0);
    let density = exp(-0.5 * t * t);
    let tail = normalTail(t);
    // below 0, x joins first: density * tail alone may be denormal, and flushed, where the whole is not
    return select(v * (1.0 - density * tail), v * density * tail, v < 0.0);
  }
  let e = expOfTanhForm(min(abs(v), 12.0));
  return v * select(1.0, e, v < 0.0) / (1.0 + e);
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * (THREADS * PER_THREAD);
  let end = min(first + THREADS * PER_THREAD, params.n);
  for (var i = first + lane; i < end; i += THREADS) {
    y[i] = T(gelu(f32(x[i])));
  }
}
