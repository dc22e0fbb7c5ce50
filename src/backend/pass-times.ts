// Which kernel each pass's times belong to: passes run in the order in which they were asked for.

/** Passes whose times are kept where they are taken before somebody asks for them: 64 KB. */
const mostUnread = 4096;

export class PassTimes {
  /** kernels whose passes have not all been told of */
  #kernels: { passes: number; ran: (startUs: number, endUs: number) => void }[] = [];
  #first = 0;
  /** of the kernel that is first, its passes told of so far, and when it began */
  #told = 0;
  #startUs = 0;
  #unread = 0;

  /** A kernel of so many passes.
   *  @returns whether to ask for times now */
  asked(passes: number, ran: (startUs: number, endUs: number) => void): boolean {
    if (passes === 0) return false;
    this.#kernels.push({ passes, ran });
    this.#unread += passes;
    if (this.#unread < mostUnread) return false;
    this.#unread = 0;
    return true;
  }

  /** Start and end of each next pass in turn. */
  take(times: Float64Array): void {
    for (let at = 0; at < times.length; at += 2) {
      const { passes, ran } = this.#kernels[this.#first];
      if (this.#told === 0) this.#startUs = times[at];
      if (++this.#told < passes) continue;
      ran(this.#startUs, times[at + 1]);
      this.#told = 0;
      this.#first++;
    }
    this.#kernels = this.#kernels.slice(this.#first);
    this.#first = 0;
  }
}
