// Activations and their derivatives against f64 over the whole range in which they bend, and beyond.

import { test } from "uvu";
import { expected } from "./bounds.ts";
import { assertWithin } from "./compare.ts";
import { blank, closeBackend, compute } from "./harness.ts";
import { geluExact, geluExactGrad, geluTanh, geluTanhGrad, siluGate, siluGateGrad } from "./oracle/activation.ts";
import { normal, uniform } from "./oracle/random.ts";

/** -40 to 40 in steps of 1/64, both zeros, both sides of the smallest normal number, magnitudes no exp can take. */
const sweep = Float32Array.from([
  ...Array.from({ length: 80 * 64 + 1 }, (_, i) => i / 64 - 40),
  ...[0, -0, 1e-45, -1e-45, 1e-39, -1e-39, 2 ** -126, -(2 ** -126), 1e-20, -1e-20, 1e-8, -1e-8],
  ...[88, -88, 89, -89, 104, -104, 1e3, -1e3, 1e6, -1e6, 1e10, -1e10],
]);
const forms = [
  { form: "tanh", value: geluTanh, grad: geluTanhGrad },
  { form: "exact", value: geluExact, grad: geluExactGrad },
] as const;

for (const { form, value, grad } of forms) {
  test(`gelu ${form} from -40 to 40, at zeros, denormals and up to 1e10: within the bound of f64`, async () => {
    const { y } = await compute("gelu", { x: sweep, y: blank(sweep.length), n: sweep.length, form });
    assertWithin(
      y,
      expected(sweep.length, (i) => value(sweep[i])),
      "y",
    );
  });
  test(`geluGrad ${form} from -40 to 40, at zeros, denormals and up to 1e10: within the bound of f64`, async () => {
    const dy = normal(sweep.length, { seed: 41 });
    const { dx } = await compute("geluGrad", { x: sweep, dy, dx: blank(sweep.length), n: sweep.length, form });
    assertWithin(
      dx,
      expected(sweep.length, (i) => grad(sweep[i], dy[i])),
      "dx",
    );
  });
  for (const n of [1, 2, 3, 257, 1024]) {
    test(`gelu and geluGrad ${form} of ${n}: within the bound of f64`, async () => {
      const x = normal(n, { seed: 42, deviation: 2 });
      const dy = normal(n, { seed: 43 });
      const { y } = await compute("gelu", { x, y: blank(n), n, form });
      assertWithin(
        y,
        expected(n, (i) => value(x[i])),
        "y",
      );
      const { dx } = await compute("geluGrad", { x, dy, dx: blank(n), n, form });
      assertWithin(
        dx,
        expected(n, (i) => grad(x[i], dy[i])),
        "dx",
      );
    });
  }
  test(`gelu ${form}: NaN stays NaN, +infinity stays`, async () => {
    const x = Float32Array.of(1, Number.NaN, 2, Number.POSITIVE_INFINITY, 3);
    const { y } = await compute("gelu", { x, y: blank(5), n: 5, form });
    const wanted = expected(5, (i) => (Number.isFinite(x[i]) ? value(x[i]) : { value: x[i], error: 0 }));
    assertWithin(y, wanted, "y");
  });
}

function gatePairs(n: number, deviation: number): Float32Array {
  return normal(2 * n, { seed: 44, deviation });
}

async function checkGate(x: Float32Array): Promise<void> {
  const n = x.length / 2;
  const dy = normal(n, { seed: 45 });
  const { y } = await compute("siluGate", { x, y: blank(n), n });
  assertWithin(
    y,
    expected(n, (i) => siluGate(x[2 * i], x[2 * i + 1])),
    "y",
  );
  const { dx } = await compute("siluGateGrad", { x, dy, dx: blank(2 * n), n });
  const pairs = Array.from({ length: n }, (_, i) => siluGateGrad(x[2 * i], x[2 * i + 1], dy[i])).flat();
  assertWithin(
    dx,
    expected(2 * n, (i) => pairs[i]),
    "dx",
  );
}

for (const n of [1, 2, 5, 255, 1028]) {
  test(`siluGate and siluGateGrad of ${n} pairs: within the bound of f64`, () => checkGate(gatePairs(n, 2)));
}
test("siluGate and siluGateGrad with gates from -40 to 40, zeros, denormals and up to 1e10: within the bound of f64", () => {
  const up = uniform(46);
  return checkGate(Float32Array.from({ length: 2 * sweep.length }, (_, i) => (i % 2 ? 2 * up() - 1 : sweep[i / 2])));
});
test("siluGate: a NaN in gate or up makes its own element NaN", async () => {
  const x = gatePairs(4, 1);
  x[2] = Number.NaN;
  x[7] = Number.NaN;
  const { y } = await compute("siluGate", { x, y: blank(4), n: 4 });
  const wanted = expected(4, (i) => siluGate(x[2 * i], x[2 * i + 1]));
  assertWithin(y, wanted, "y");
});

test.after(closeBackend);
test.run();
