// Who holds how many bytes, and the most they ever held. Counts what callers asked for; what a backend's
// pool keeps in reserve on top is `reservedBytes`.

/** What a buffer is for. Reports split bytes by these. */
export const purposes = ["weights", "gradients", "optimizer", "activations", "scratch"] as const;
export type Purpose = (typeof purposes)[number];
export type BytesByPurpose = Record<Purpose, number>;

const zero = (): BytesByPurpose => ({ weights: 0, gradients: 0, optimizer: 0, activations: 0, scratch: 0 });

/** Bytes in use and peak bytes, by purpose. `peak.total` is the peak of the sum, not the sum of the peaks. */
export class MemoryAccount {
  readonly bytes = zero();
  #total = 0;
  #peak = zero();
  #peakTotal = 0;
  /** Bytes a backend holds from the device, in use or kept for reuse. */
  reservedBytes = 0;

  take(purpose: Purpose, bytes: number): void {
    this.bytes[purpose] += bytes;
    this.#total += bytes;
    if (this.bytes[purpose] > this.#peak[purpose]) this.#peak[purpose] = this.bytes[purpose];
    if (this.#total > this.#peakTotal) this.#peakTotal = this.#total;
  }

  give(purpose: Purpose, bytes: number): void {
    this.bytes[purpose] -= bytes;
    this.#total -= bytes;
  }

  /** The same bytes for another purpose: the total, and its peak, stay. */
  move(bytes: number, { from, to }: { from: Purpose; to: Purpose }): void {
    this.bytes[from] -= bytes;
    this.bytes[to] += bytes;
    if (this.bytes[to] > this.#peak[to]) this.#peak[to] = this.bytes[to];
  }

  get total(): number {
    return this.#total;
  }

  get peak(): BytesByPurpose & { total: number } {
    return { ...this.#peak, total: this.#peakTotal };
  }

  /** Forgets earlier peaks: from here on the peak is of what comes. */
  resetPeak(): void {
    this.#peak = { ...this.bytes };
    this.#peakTotal = this.#total;
  }
}
