const PRECISION = 1e-16;
const MOST_TERMS = 100_000;
/** Stands in for 0 in Lentz's method, which divides by it. */
const TINY = 1e-300;

/**
 * Chance that Student's t with `freedom` degrees of freedom lies at least as far from 0 as `t`:
 * I_{ν/(ν+t²)}(ν/2, 1/2), with I the regularised incomplete beta function.
 * @param t any number, infinite ones included
 * @param freedom a whole number from 1
 * @see NIST Digital Library of Mathematical Functions, 8.17
 */
export function studentTwoSided(t: number, freedom: number): number {
  if (!Number.isFinite(t)) return 0;
  const square = t * t;
  const outer = freedom / (freedom + square);
  const inner = square / (freedom + square);
  // x^(ν/2) · (1 - x)^(1/2) / B(ν/2, 1/2), with logarithms that are exact for small t.
  const front = Math.exp((-freedom / 2) * Math.log1p(square / freedom)) * Math.sqrt(inner) * inverseBeta(freedom);
  // The fraction converges quickly below (a + 1) / (a + b + 2); beyond, I_x(a, b) = 1 - I_{1-x}(b, a).
  if (outer < (freedom / 2 + 1) / (freedom / 2 + 2.5)) {
    return (front / (freedom / 2)) * betaFraction(outer, freedom / 2, 0.5);
  }
  return 1 - 2 * front * betaFraction(inner, 0.5, freedom / 2);
}

/** 1 / B(ν/2, 1/2), by its recurrence in ν from 1 / B(1/2, 1/2) = 1/π and 1 / B(1, 1/2) = 1/2. */
function inverseBeta(freedom: number): number {
  let value = freedom % 2 === 1 ? 1 / Math.PI : 1 / 2;
  for (let n = freedom % 2 === 1 ? 3 : 4; n <= freedom; n += 2) value *= (n - 1) / (n - 2);
  return value;
}

/** The continued fraction of DLMF 8.17.22, by the modified method of Lentz. */
function betaFraction(x: number, a: number, b: number): number {
  let c = 1;
  let d = 1 / nonZero(1 - ((a + b) * x) / (a + 1));
  let value = d;
  for (let m = 1; m <= MOST_TERMS; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / nonZero(1 + even * d);
    c = nonZero(1 + even / c);
    value *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / nonZero(1 + odd * d);
    c = nonZero(1 + odd / c);
    value *= d * c;
    if (Math.abs(d * c - 1) < PRECISION) break;
  }
  return value;
}

function nonZero(value: number): number {
  return Math.abs(value) < TINY ? TINY : value;
}
