// c (+)= a b on strided f32 matrices: packed panels and a 4 x 4 register block (Goto & van de Geijn 2008). Sums run
// in f64: JavaScript's arithmetic is f64 anyway, and rounding every step to f32 (Math.fround) halves the speed.

/** Strides and offsets in elements; a transpose is a pair of strides swapped. */
export interface Gemm {
  a: Float32Array;
  aOffset: number;
  aRowStride: number;
  aColStride: number;
  b: Float32Array;
  bOffset: number;
  bRowStride: number;
  bColStride: number;
  c: Float32Array;
  cOffset: number;
  cRowStride: number;
  m: number;
  n: number;
  k: number;
  accumulate: boolean;
}

const block = 4;
/** Panel extents: the a panel (rows x depth in f64, 256 KiB) stays in the second-level cache, a strip of b (8 KiB) in the first. */
const depth = 256;
const rows = 128;
const cols = 512;

// Kept between calls: a thread runs one product at a time.
const panelA = new Float64Array(rows * depth);
const panelB = new Float64Array(cols * depth);
const tile = new Float64Array(block * block);

/** c[m, n] (+)= a[m, k] b[k, n]. */
export function gemm(o: Gemm): void {
  if (o.m < block) {
    thin(o);
    return;
  }
  for (let k0 = 0; k0 < o.k; k0 += depth) {
    const k = Math.min(depth, o.k - k0);
    const add = o.accumulate || k0 > 0;
    for (let n0 = 0; n0 < o.n; n0 += cols) {
      const n = Math.min(cols, o.n - n0);
      pack(panelB, {
        x: o.b,
        offset: o.bOffset + k0 * o.bRowStride + n0 * o.bColStride,
        stride: o.bColStride,
        depthStride: o.bRowStride,
        extent: n,
        k,
      });
      for (let m0 = 0; m0 < o.m; m0 += rows) {
        const m = Math.min(rows, o.m - m0);
        pack(panelA, {
          x: o.a,
          offset: o.aOffset + m0 * o.aRowStride + k0 * o.aColStride,
          stride: o.aRowStride,
          depthStride: o.aColStride,
          extent: m,
          k,
        });
        for (let j = 0; j < n; j += block) {
          for (let i = 0; i < m; i += block) {
            multiplyTile(i * k, j * k, k);
            storeTile(
              o.c,
              o.cOffset + (m0 + i) * o.cRowStride + n0 + j,
              o.cRowStride,
              Math.min(block, m - i),
              Math.min(block, n - j),
              add,
            );
          }
        }
      }
    }
  }
}

interface Strip {
  x: Float32Array;
  offset: number;
  /** between the `extent` rows of a or columns of b */
  stride: number;
  /** along k */
  depthStride: number;
  extent: number;
  k: number;
}

/** Strips of 4 rows of a (or columns of b), k after k; the last strip is filled up with zeros. */
function pack(panel: Float64Array, { x, offset, stride, depthStride, extent, k }: Strip): void {
  let to = 0;
  for (let strip = 0; strip < extent; strip += block) {
    const width = Math.min(block, extent - strip);
    let from = offset + strip * stride;
    if (width === block) {
      for (let p = 0; p < k; p++) {
        panel[to] = x[from];
        panel[to + 1] = x[from + stride];
        panel[to + 2] = x[from + 2 * stride];
        panel[to + 3] = x[from + 3 * stride];
        to += block;
        from += depthStride;
      }
    } else {
      for (let p = 0; p < k; p++) {
        for (let r = 0; r < block; r++) panel[to + r] = r < width ? x[from + r * stride] : 0;
        to += block;
        from += depthStride;
      }
    }
  }
}

/** tile[4, 4] = the product of a strip of panelA and a strip of panelB. Locals, not an array: they stay in registers. */
function multiplyTile(aStart: number, bStart: number, k: number): void {
  let c00 = 0;
  let c01 = 0;
  let c02 = 0;
  let c03 = 0;
  let c10 = 0;
  let c11 = 0;
  let c12 = 0;
  let c13 = 0;
  let c20 = 0;
  let c21 = 0;
  let c22 = 0;
  let c23 = 0;
  let c30 = 0;
  let c31 = 0;
  let c32 = 0;
  let c33 = 0;
  let ia = aStart | 0;
  let ib = bStart | 0;
  for (const end = (aStart + k * block) | 0; ia < end; ia = (ia + block) | 0) {
    const b0 = panelB[ib];
    const b1 = panelB[ib + 1];
    const b2 = panelB[ib + 2];
    const b3 = panelB[ib + 3];
    const a0 = panelA[ia];
    c00 += a0 * b0;
    c01 += a0 * b1;
    c02 += a0 * b2;
    c03 += a0 * b3;
    const a1 = panelA[ia + 1];
    c10 += a1 * b0;
    c11 += a1 * b1;
    c12 += a1 * b2;
    c13 += a1 * b3;
    const a2 = panelA[ia + 2];
    c20 += a2 * b0;
    c21 += a2 * b1;
    c22 += a2 * b2;
    c23 += a2 * b3;
    const a3 = panelA[ia + 3];
    c30 += a3 * b0;
    c31 += a3 * b1;
    c32 += a3 * b2;
    c33 += a3 * b3;
    ib = (ib + block) | 0;
  }
  tile[0] = c00;
  tile[1] = c01;
  tile[2] = c02;
  tile[3] = c03;
  tile[4] = c10;
  tile[5] = c11;
  tile[6] = c12;
  tile[7] = c13;
  tile[8] = c20;
  tile[9] = c21;
  tile[10] = c22;
  tile[11] = c23;
  tile[12] = c30;
  tile[13] = c31;
  tile[14] = c32;
  tile[15] = c33;
}

function storeTile(
  c: Float32Array,
  offset: number,
  rowStride: number,
  height: number,
  width: number,
  add: boolean,
): void {
  for (let i = 0; i < height; i++) {
    const row = offset + i * rowStride;
    if (add) for (let j = 0; j < width; j++) c[row + j] += tile[i * block + j];
    else for (let j = 0; j < width; j++) c[row + j] = tile[i * block + j];
  }
}

/** Fewer rows than a block (a token being generated): packing b would cost more than the product. */
function thin({
  a,
  aOffset,
  aRowStride,
  aColStride,
  b,
  bOffset,
  bRowStride,
  bColStride,
  c,
  cOffset,
  cRowStride,
  m,
  n,
  k,
  accumulate,
}: Gemm): void {
  for (let i = 0; i < m; i++) {
    const aRow = aOffset + i * aRowStride;
    const cRow = cOffset + i * cRowStride;
    for (let j = 0; j < n; j += block) {
      const width = Math.min(block, n - j);
      let c0 = 0;
      let c1 = 0;
      let c2 = 0;
      let c3 = 0;
      // Columns past the edge repeat the last one: computed, never stored.
      let b0 = bOffset + j * bColStride;
      let b1 = b0 + Math.min(1, width - 1) * bColStride;
      let b2 = b0 + Math.min(2, width - 1) * bColStride;
      let b3 = b0 + (width - 1) * bColStride;
      let ia = aRow;
      for (let p = 0; p < k; p++) {
        const value = a[ia];
        c0 += value * b[b0];
        c1 += value * b[b1];
        c2 += value * b[b2];
        c3 += value * b[b3];
        ia += aColStride;
        b0 += bRowStride;
        b1 += bRowStride;
        b2 += bRowStride;
        b3 += bRowStride;
      }
      tile[0] = c0;
      tile[1] = c1;
      tile[2] = c2;
      tile[3] = c3;
      storeTile(c, cRow + j, cRowStride, 1, width, accumulate);
    }
  }
}
