// The end of a turn of the event loop: when a backend begins what it has gathered, though nobody waits for it.

/** Calls `work` in the next turn. Node's setTimeout takes a millisecond at least. */
export const nextTurn: (work: () => void) => void = globalThis.setImmediate ?? globalThis.setTimeout;
