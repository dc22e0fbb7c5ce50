// One product of distributed matrices on devices that are not there: `product` itself, on shapes alone, says what each rank multiplies and
// sends; a profile how long that takes. Beside simulate.ts, which does the same for a training step.

import { UserError } from "../backend/errors.ts";
import { Ledger } from "../comm/ledger.ts";
import { product } from "../parallel/matmul.ts";
import { blockOf, type Form, gridMesh, lineMesh, operands, type ProductSize } from "../parallel/operands.ts";
import { type Placements, place } from "../parallel/placement.ts";
import type { MeshShape } from "../parallel/shape.ts";
import { isGrid } from "../parallel/volume.ts";
import { Tape } from "../tensor/tape.ts";
import { assemble } from "./assemble.ts";
import type { DeviceTimes } from "./device.ts";
import { machineOf } from "./machine.ts";
import type { Profile } from "./profile.ts";
import { type RankRecord, Recorder, Works } from "./recorder.ts";
import { rankOf, replay } from "./replay.ts";

export interface ProductToSimulate {
  readonly shape: MeshShape;
  readonly form: Form;
  readonly size: ProductSize;
  /** of a device for each rank */
  readonly profile: Profile;
}

/** From one moment to another, in seconds from the product's beginning. */
export interface ProductSpan {
  readonly start: number;
  readonly end: number;
}

export interface SimulatedProduct {
  /** until the last rank has its block of C */
  readonly seconds: number;
  /** each rank's device */
  readonly devices: readonly DeviceTimes[];
  /** that each rank receives */
  readonly wordsReceived: readonly number[];
  /** in the order in which they begin; flops as work.ts counts them */
  readonly kernels: readonly (ProductSpan & { readonly rank: number; readonly flops: number })[];
  /** in the order in which they begin */
  readonly messages: readonly (ProductSpan & { readonly from: number; readonly to: number; readonly words: number })[];
}

/** Every rank's product, then all of them in time. f32, which travels as f32.
 *  @throws UserError for sizes that are no whole numbers from 1, or whose words JavaScript cannot count */
export async function simulateProduct({ shape, form, size, profile }: ProductToSimulate): Promise<SimulatedProduct> {
  requireCountable(size);
  const works = new Works();
  const records: RankRecord[] = [];
  const wordsReceived: number[] = [];
  for (let rank = 0; rank < shape.size; rank++) {
    const { record, words } = await recordProduct(rank, { shape, form, size, works });
    records.push(record);
    wordsReceived.push(words);
  }
  const program = assemble(records, works);
  const machine = machineOf(profile, { ranks: shape.size, devices: shape.size, works: works.all });
  const kernels: SimulatedProduct["kernels"][number][] = [];
  const messages: SimulatedProduct["messages"][number][] = [];
  const { from, to, bytes } = program.messages;
  const { seconds, devices } = replay(program, machine, {
    kernel: (op, { start, end }) =>
      kernels.push({ rank: rankOf(op, program), flops: works.all[program.what[op]].flops, start, end }),
    message: (at, { start, end }) => messages.push({ from: from[at], to: to[at], words: bytes[at] / 4, start, end }),
  });
  return { seconds, devices, wordsReceived, kernels, messages };
}

/** One rank's product written down. */
async function recordProduct(
  rank: number,
  { shape, form, size, works }: Omit<ProductToSimulate, "profile"> & { works: Works },
): Promise<{ record: RankRecord; words: number }> {
  const recorder = new Recorder({ rank, size: shape.size, works });
  const ledger = new Ledger();
  const to = { link: recorder, ledger };
  const { q, d } = shape;
  const mesh = isGrid(shape) ? gridMesh({ q, d, ...to }) : lineMesh(to);
  using tape = new Tape(recorder.backend, { recording: false });
  const { m, n, k } = size;
  /** Its block, of which only the shape is there. */
  const matrix = <P extends Placements>(name: string, { as, whole }: { as: P; whole: [number, number] }) => {
    const { rows, cols } = blockOf(mesh, { rank, placements: as, shape: whole });
    return place(tape.empty({ shape: [rows.to - rows.from, cols.to - cols.from], name }), as);
  };
  const of = operands(mesh, form);
  const a = matrix("a", { as: of.a, whole: form === "ATB" ? [k, m] : [m, k] });
  const b = matrix("b", { as: of.b, whole: form === "ABT" ? [n, k] : [k, n] });
  recorder.begin();
  (await product(a, b, { mesh, form })).dispose();
  const record = recorder.end();
  return { record, words: ledger.entries.reduce((sum, { words }) => sum + words, 0) };
}

function requireCountable({ m, n, k }: ProductSize): void {
  for (const extent of [m, n, k])
    if (!Number.isSafeInteger(extent) || extent < 1)
      throw new UserError(`got a product of ${m} x ${k} by ${k} x ${n}; sizes must be whole numbers from 1`);
  // Flops are counted too, twice the product of all extents, padding included.
  if (2 * (m + 4096) * (n + 4096) * (k + 4096) > Number.MAX_SAFE_INTEGER)
    throw new UserError(
      `a product of ${m} x ${k} by ${k} x ${n} is more operations than 2^53, which can be counted; use smaller sizes`,
    );
}
