// The complementary error function in f64: Cody's rational approximations, Math. Comp. 23 (1969) 631-637, with the
// coefficients of netlib's specfun (CALERF). JavaScript has none of its own.

// |x| <= 0.46875: erf(x) = x P(x^2) / Q(x^2), lowest power first
const small = {
  p: [3209.37758913846947, 377.485237685302021, 113.864154151050156, 3.1611237438705656, 0.185777706184603153],
  q: [2844.23683343917062, 1282.61652607737228, 244.024637934444173, 23.6012909523441209, 1],
};
// 0.46875 <= x <= 4: erfc(x) = exp(-x^2) P(x) / Q(x)
const middle = {
  p: [
    1230.33935479799725, 2051.07837782607147, 1712.04761263407058, 881.95222124176909, 298.635138197400131, 66.1191906371416295,
    8.88314979438837594, 0.564188496988670089, 2.15311535474403846e-8,
  ],
  q: [
    1230.33935480374942, 3439.36767414372164, 4362.61909014324716, 3290.79923573345963, 1621.38957456669019, 537.181101862009858,
    117.693950891312499, 15.7449261107098347, 1,
  ],
};
// x >= 4: erfc(x) = exp(-x^2) / x (1 / sqrt(pi) - P(1/x^2) / (x^2 Q(1/x^2)))
const large = {
  p: [6.58749161529837803e-4, 1.60837851487422766e-2, 0.125781726111229246, 0.360344899949804439, 0.305326634961232344, 1.63153871373020978e-2],
  q: [2.33520497626869185e-3, 6.05183413124413191e-2, 0.527905102951428412, 1.87295284992346725, 2.56852019228982242, 1],
};

function polynomial(coefficients: readonly number[], x: number): number {
  let value = 0;
  for (let i = coefficients.length - 1; i >= 0; i--) value = value * x + coefficients[i];
  return value;
}

/** 1 - erf(x), with a small relative error also where it is tiny. */
export function erfc(x: number): number {
  const y = Math.abs(x);
  const square = y * y;
  if (y <= 0.46875) return 1 - (x * polynomial(small.p, square)) / polynomial(small.q, square);
  let value: number;
  if (y <= 4) {
    value = (Math.exp(-square) * polynomial(middle.p, y)) / polynomial(middle.q, y);
  } else {
    const inverse = 1 / square;
    const tail = (inverse * polynomial(large.p, inverse)) / polynomial(large.q, inverse);
    value = (Math.exp(-square) / y) * (1 / Math.sqrt(Math.PI) - tail);
  }
  return x < 0 ? 2 - value : value;
}
