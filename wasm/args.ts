// The arguments of a pass: f64s in the order its plan gives them.

// @ts-ignore: decorator
@inline
export function address(args: usize, i: i32): usize {
  return <usize>load<f64>(args + (<usize>i << 3));
}

// @ts-ignore: decorator
@inline
export function integer(args: usize, i: i32): i32 {
  return <i32>load<f64>(args + (<usize>i << 3));
}

// @ts-ignore: decorator
@inline
export function real(args: usize, i: i32): f32 {
  return <f32>load<f64>(args + (<usize>i << 3));
}
