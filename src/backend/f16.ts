// IEEE binary16 on the host: Float16Array is newer than the oldest Node this runs on.

const word = new Uint32Array(1);
const number = new Float32Array(word.buffer);

/** The bits of the nearest f16, ties to even: infinity from 65520 on, zero up to 2^-25; what is not a number stays so. */
export function toF16(values: Float32Array): Uint16Array {
  const bits = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    number[0] = values[i];
    const sign = (word[0] >>> 16) & 0x8000;
    const magnitude = word[0] & 0x7fffffff;
    if (magnitude > 0x7f800000) bits[i] = sign | 0x7e00;
    else if (magnitude >= 0x477ff000) bits[i] = sign | 0x7c00;
    // Below 2^-14 in steps of 2^-24; f64 rounds to an integer when 2^52 is added.
    else if (magnitude < 0x38800000) bits[i] = sign | (Math.abs(number[0]) * 2 ** 24 + 2 ** 52 - 2 ** 52);
    // 13 bits of the fraction go, and the exponent's bias falls from 127 to 15.
    else bits[i] = sign | ((magnitude + 0xfff + ((magnitude >>> 13) & 1) - (112 << 23)) >>> 13);
  }
  return bits;
}

/** The same numbers in f32. */
export function fromF16(bits: Uint16Array): Float32Array {
  const values = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) {
    const sign = (bits[i] & 0x8000) << 16;
    const exponent = (bits[i] >>> 10) & 31;
    const fraction = bits[i] & 0x3ff;
    if (exponent === 0) values[i] = (sign < 0 ? -1 : 1) * fraction * 2 ** -24;
    else {
      word[0] = sign | ((exponent === 31 ? 255 : exponent + 112) << 23) | (fraction << 13);
      values[i] = number[0];
    }
  }
  return values;
}
