// Rotary position embedding on fused rows, forward and its vjp (the inverse turn). arXiv 2104.09864.

import { address, integer } from "./args";

/** The heads of y[rows, slots, headWidth] turn by their position's angles, every (group + 2)nd of which, v, is copied. Items are
 *  rows. args: x, table, y, slots, group, headWidth, tokens, offset, sign of the sine */
export function rotary(args: usize, begin: i32, end: i32, scratch: usize): void {
  const slots = integer(args, 3);
  const group = integer(args, 4);
  const headWidth = integer(args, 5);
  const tokens = integer(args, 6);
  const offset = integer(args, 7);
  const sign = <f32>load<f64>(args, 64);
  const half = headWidth >> 1;
  const whole = <usize>(half & ~3) << 2;
  const halfBytes = <usize>half << 2;
  for (let row = begin; row < end; row++) {
    const table = address(args, 1) + ((<usize>(offset + (row % tokens)) * headWidth) << 2);
    for (let slot = 0; slot < slots; slot++) {
      const at = ((<usize>row * slots + slot) * headWidth) << 2;
      const x = address(args, 0) + at;
      const y = address(args, 2) + at;
      if (slot % (group + 2) == group + 1) {
        let c: usize = 0;
        for (; c + 16 <= halfBytes << 1; c += 16) v128.store(y + c, v128.load(x + c));
        for (; c < halfBytes << 1; c += 8) store<i64>(y + c, load<i64>(x + c)); // headWidth is even
        continue;
      }
      const signs = f32x4.splat(sign);
      for (let c: usize = 0; c < whole; c += 16) {
        const low = v128.load(table + (c << 1));
        const high = v128.load(table + (c << 1), 16);
        const cos = v128.shuffle<i32>(low, high, 0, 2, 4, 6);
        const sin = f32x4.mul(signs, v128.shuffle<i32>(low, high, 1, 3, 5, 7));
        const first = v128.load(x + c);
        const second = v128.load(x + c + halfBytes);
        v128.store(y + c, f32x4.sub(f32x4.mul(first, cos), f32x4.mul(second, sin)));
        v128.store(y + c + halfBytes, f32x4.add(f32x4.mul(second, cos), f32x4.mul(first, sin)));
      }
      for (let c = whole; c < halfBytes; c += 4) {
        const cos = load<f32>(table + (c << 1));
        const sin = sign * load<f32>(table + (c << 1), 4);
        const first = load<f32>(x + c);
        const second = load<f32>(x + c + halfBytes);
        store<f32>(y + c, first * cos - second * sin);
        store<f32>(y + c + halfBytes, second * cos + first * sin);
      }
    }
  }
}
