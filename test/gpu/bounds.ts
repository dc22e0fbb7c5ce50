// How far f32 arithmetic may be from the exact result: running error analysis (Higham, Accuracy and Stability of
// Numerical Algorithms, 2nd ed., section 3.3) with the accuracies the WGSL specification grants (section 15.7.4).

/** Unit roundoff of f32. One ULP of x is at most 2 unit |x|. */
export const unit = 2 ** -24;
/** Smallest normal f32: a device may flush what is below to zero. */
export const smallest = 2 ** -126;

/** Relative error of n roundings in a row, so of a sum of n terms in any order, per sum of magnitudes. Higham, lemma 3.1. */
export const gamma = (n: number): number => (n * unit) / (1 - n * unit);

/** An exact value and a bound on the error with which an f32 computation arrives at it. */
export interface Rounded {
  readonly value: number;
  readonly error: number;
}

/** Expected results and the largest error allowed to each. */
export interface Expected {
  readonly values: Float64Array;
  readonly bounds: Float64Array;
}

export function expected(length: number, element: (index: number) => Rounded): Expected {
  const values = new Float64Array(length);
  const bounds = new Float64Array(length);
  for (let i = 0; i < length; i++) {
    const { value, error } = element(i);
    values[i] = value;
    bounds[i] = error;
  }
  return { values, bounds };
}

/** `value` after an operation that rounds within `relative`, its operands having brought `inherited`. */
const rounded = (value: number, inherited: number, relative: number): Rounded => ({
  value,
  error: inherited + relative * (Math.abs(value) + inherited) + smallest,
});

/** What is left of a result in f16: rounded to nearest, as every device tried does (WGSL lets a device take either neighbour). Below 2^-14
 *  an f16 is a multiple of 2^-24. */
export function stored({ values, bounds }: Expected): Expected {
  return { values, bounds: bounds.map((error, i) => error + 2 ** -11 * (Math.abs(values[i]) + error) + 2 ** -25) };
}

/** A number the kernel has exactly: an f32 input. */
export const exact = (value: number): Rounded => ({ value, error: 0 });
/** A scalar argument, an f64 that reaches the kernel rounded to f32. */
export const parameter = (value: number): Rounded => ({ value, error: unit * Math.abs(value) });

export const add = (a: Rounded, b: Rounded): Rounded => rounded(a.value + b.value, a.error + b.error, unit);
export const subtract = (a: Rounded, b: Rounded): Rounded => rounded(a.value - b.value, a.error + b.error, unit);
export const multiply = (a: Rounded, b: Rounded): Rounded =>
  rounded(a.value * b.value, Math.abs(a.value) * b.error + Math.abs(b.value) * a.error + a.error * b.error, unit);

/** 2.5 ULP. The divisor must be larger than its error. */
export function divide(a: Rounded, b: Rounded): Rounded {
  const value = a.value / b.value;
  return rounded(value, (a.error + Math.abs(value) * b.error) / (Math.abs(b.value) - b.error), 5 * unit);
}

/** 1/sqrt(a): 2 ULP. A kernel may also divide by a square root, 2 + 2.5 + 2.5 ULP. */
export function inverseSqrt(a: Rounded): Rounded {
  const value = 1 / Math.sqrt(a.value);
  return rounded(value, 1 / Math.sqrt(a.value - a.error) - value, 14 * unit);
}

/** "Inherited from 1 / inverseSqrt(x)": 2 + 2.5 ULP. */
export function squareRoot(a: Rounded): Rounded {
  const value = Math.sqrt(a.value);
  return rounded(value, a.error === 0 ? 0 : a.error / value, 9 * unit);
}

/** 3 + 2|x| ULP. */
export function exponential(a: Rounded): Rounded {
  const value = Math.exp(a.value);
  return rounded(value, value * Math.expm1(a.error), expRelative(a.value));
}

/** Relative error of exp at x: 3 + 2|x| ULP. */
export const expRelative = (x: number): number => 2 * unit * (3 + 2 * Math.abs(x));

/** An absolute 2^-21 for arguments in [0.5, 2], 3 ULP elsewhere. */
export function logarithm(a: Rounded): Rounded {
  const value = Math.log(a.value);
  const inherited = -Math.log1p(-a.error / a.value);
  const near = a.value - a.error <= 2 && a.value + a.error >= 0.5;
  return rounded(value, inherited + (near ? 2 ** -21 : 0), 6 * unit);
}

/** Terms added in any order: their own errors, and gamma(terms) of their magnitudes. */
export function total(terms: readonly Rounded[]): Rounded {
  let value = 0;
  let magnitude = 0;
  let inherited = 0;
  for (const term of terms) {
    value += term.value;
    magnitude += Math.abs(term.value) + term.error;
    inherited += term.error;
  }
  return { value, error: inherited + gamma(terms.length) * magnitude + smallest };
}
