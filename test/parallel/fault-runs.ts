// How often each fault is put into a run: a few times in `npm test`, as often as asked in `npm run faults`.

/** Seeds go from `first` on. */
export function faultRuns({ byDefault }: { byDefault: number }): { runs: number; first: number } {
  const { SHARDGRAD_FAULT_RUNS: runs, SHARDGRAD_FAULT_SEED: first } = process.env;
  return { runs: Number(runs ?? byDefault), first: Number(first ?? 0) };
}
