// The one clock of a timeline: the same in every thread of a process, and in every process of a machine up to what its system does to the
// time of day.

/** Microseconds since 1970, to a quarter of one. */
export const nowUs = (): number => (performance.timeOrigin + performance.now()) * 1000;
