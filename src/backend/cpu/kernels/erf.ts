// The complementary error function in f64: Cody's rational approximations, Math. Comp. 23 (1969) 631-637, with the
// coefficients of netlib's specfun (CALERF). JavaScript has none of its own.

// |x| <= 0.46875: erf(x) = x P(x^2) / Q(x^2), lowest power first
const small = {
  p: [3209.3775891384694, 377.485237685302, 113.86415415105016, 3.1611237438705655, 0.18577770618460315],
  q: [2844.236833439171, 1282.6165260773723, 244.02463793444417, 23.601290952344122, 1],
};
// 0.46875 <= x <= 4: erfc(x) = exp(-x^2) P(x) / Q(x)
const middle = {
  p: [
    1230.3393547979972, 2051.0783778260716, 1712.0476126340707, 881.952221241769, 298.6351381974001, 66.11919063714163,
    8.883149794388377, 0.5641884969886701, 2.1531153547440383e-8,
  ],
  q: [
    1230.3393548037495, 3439.3676741437216, 4362.619090143247, 3290.7992357334597, 1621.3895745666903,
    537.1811018620099, 117.6939508913125, 15.744926110709835, 1,
  ],
};
// x >= 4: erfc(x) = exp(-x^2) / x (1 / sqrt(pi) - P(1/x^2) / (x^2 Q(1/x^2)))
const large = {
  p: [
    0.0006587491615298378, 0.016083785148742275, 0.12578172611122926, 0.36034489994980445, 0.30532663496123236,
    0.016315387137302097,
  ],
  q: [0.0023352049762686918, 0.06051834131244132, 0.5279051029514285, 1.8729528499234673, 2.568520192289822, 1],
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
