// The ceiling of memory: y = x, one vec4 a thread, neighbours beside each other. Grid: count/256 in y.x; count a multiple of 256.
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  y[id.x] = x[id.x];
}
