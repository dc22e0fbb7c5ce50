// y[i] = x[2i], and x[2i + 1] above it, as f16: nearest, ties to even; infinity from 65520 on; subnormals kept; NaN one NaN. By integers alone,
// so that every device gives the same bits, and none needs f16.
// grid: THREADS PER_THREAD words of y a workgroup
const THREADS: u32 = 64;
const PER_THREAD: u32 = 4;

struct Params { n: u32 }

@group(0) @binding(0) var<storage, read> x: array<u32>; // bits of f32
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

fn half(bits: u32) -> u32 {
  let magnitude = bits & 0x7fffffffu;
  let sign = (bits >> 16u) & 0x8000u;
  if (magnitude > 0x7f800000u) { return 0x7e00u; }
  if (magnitude >= 0x47800000u) { return sign | 0x7c00u; }
  // 13 bits of the fraction go; below 2^-14 more, one for each power of two, until none is left.
  let exponent = magnitude >> 23u;
  let tiny = exponent < 113u;
  let shift = select(13u, min(126u - exponent, 25u), tiny);
  let value = select(magnitude - 0x38000000u, (magnitude & 0x7fffffu) | 0x800000u, tiny);
  return sign | ((value + (1u << (shift - 1u)) - 1u + ((value >> shift) & 1u)) >> shift);
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (group.y * groups.x + group.x) * (THREADS * PER_THREAD);
  let end = min(first + THREADS * PER_THREAD, (params.n + 1u) / 2u);
  for (var i = first + lane; i < end; i += THREADS) {
    var word = half(x[2u * i]);
    if (2u * i + 1u < params.n) { word |= half(x[2u * i + 1u]) << 16u; }
    y[i] = word;
  }
}
