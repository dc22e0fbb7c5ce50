// GELU in both forms (arXiv 1606.08415) and SwiGLU's gate (arXiv 2002.05202) with their derivatives, in f64.

import type { Rounded } from "../bounds.ts";
import { add, divide, exact, exponential, multiply, parameter, subtract } from "../bounds.ts";

/** erf in f64: its power series up to 2.5, the continued fraction of erfc beyond. Abramowitz & Stegun 7.1.6 and 7.1.14. */
export function erf(x: number): number {
  return x < 0 ? -erf(-x) : x < 2.5 ? erfSeries(x) : 1 - erfcFraction(x);
}

/** 1 - erf(x) without cancellation. */
export function erfc(x: number): number {
  return x < 2.5 ? 1 - erf(x) : erfcFraction(x);
}

function erfSeries(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 0; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 3);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

function erfcFraction(x: number): number {
  let fraction = x;
  for (let n = 120; n >= 1; n--) fraction = x + n / 2 / fraction;
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / fraction;
}

/** Phi(x), the normal distribution function. */
const normalCdf = (x: number): number => erfc(-x / Math.SQRT2) / 2;

const slope = Math.sqrt(2 / Math.PI);

/** 2 sqrt(2/pi) (x + 0.044715 x^3), the argument of the sigmoid that 0.5 (1 + tanh) is. */
function tanhArgument(x: number): Rounded {
  const cube = multiply(multiply(exact(x), exact(x)), multiply(exact(x), parameter(0.044715)));
  return multiply(parameter(2 * slope), add(exact(x), cube));
}

/** 1 / (1 + exp(-a)), beyond the range of exp its limit. */
function sigmoid(a: Rounded): Rounded {
  if (a.value < -85) return { value: Math.exp(a.value), error: Math.exp(-85) };
  return divide(exact(1), add(exact(1), exponential(multiply(exact(-1), a))));
}

export function geluTanh(x: number): Rounded {
  return multiply(exact(x), sigmoid(tanhArgument(x)));
}

/** s + x s (1 - s) t' with t' = 2 sqrt(2/pi) (1 + 3 * 0.044715 x^2). */
export function geluTanhGrad(x: number, dy: number): Rounded {
  const s = sigmoid(tanhArgument(x));
  const rise = multiply(
    parameter(2 * slope),
    add(exact(1), multiply(parameter(3 * 0.044715), multiply(exact(x), exact(x)))),
  );
  const bend = multiply(multiply(exact(x), rise), multiply(s, subtract(exact(1), s)));
  return multiply(exact(dy), add(s, bend));
}

/** What a fitted function that multiplies exp(-t^2 / 2) may be off by, relatively: the fit, and its evaluation in f32. */
const fitError = 2 ** -21;

/** exp(-t^2 / 2), and 1 - Phi(t) as its multiple: small errors also where both are tiny. Below exp(-85) anything as small. */
function density(t: number): Rounded {
  const exponent = multiply(exact(-0.5), multiply(exact(t), exact(t)));
  return exponent.value < -85 ? { value: Math.exp(exponent.value), error: Math.exp(-85) } : exponential(exponent);
}

function phi(x: number): Rounded {
  const tail = normalCdf(-Math.abs(x));
  const { value, error } = density(x);
  const upper: Rounded = { value: tail, error: tail * fitError + (value > 0 ? (tail / value) * error : error) };
  return x < 0 ? upper : subtract(exact(1), upper);
}

export function geluExact(x: number): Rounded {
  return multiply(exact(x), phi(x));
}

/** Phi(x) + x phi(x). */
export function geluExactGrad(x: number, dy: number): Rounded {
  const slope = multiply(parameter(1 / Math.sqrt(2 * Math.PI)), density(x));
  return multiply(exact(dy), add(phi(x), multiply(exact(x), slope)));
}

/** silu(gate) up. */
export function siluGate(gate: number, up: number): Rounded {
  return multiply(multiply(exact(gate), sigmoid(exact(gate))), exact(up));
}

/** (dy up s (1 + gate (1 - s)), dy gate s). */
export function siluGateGrad(gate: number, up: number, dy: number): [Rounded, Rounded] {
  const s = sigmoid(exact(gate));
  const derivative = multiply(s, add(exact(1), multiply(exact(gate), subtract(exact(1), s))));
  return [multiply(multiply(exact(dy), exact(up)), derivative), multiply(exact(dy), multiply(exact(gate), s))];
}
