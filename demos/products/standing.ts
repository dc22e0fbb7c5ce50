// Who wins a race and why, from its numbers alone.

import { count, seconds } from "../kit/format.ts";
import { meshText, type Race, type Racer } from "./problem.ts";

/** A racer by the rank that receives most, the first of them. */
export interface Standing {
  racer: Racer;
  name: string;
  /** from 1; meshes that take as long share a place */
  place: number;
  rank: number;
  words: number;
  messages: number;
  /** of that rank's device, in seconds: computing, and neither that nor done */
  computing: number;
  waiting: number;
}

/** In the order in which they arrive. */
export function standingsOf({ racers }: Race): Standing[] {
  const sorted = racers.toSorted((one, other) => one.simulated.seconds - other.simulated.seconds);
  return sorted.map((racer) => {
    const { wordsReceived, messages, devices } = racer.simulated;
    const words = Math.max(...wordsReceived);
    const rank = wordsReceived.indexOf(words);
    const { computing, hidden, exposed, idle } = devices[rank];
    return {
      ...{ racer, name: meshText(racer.shape), rank, words },
      place: 1 + sorted.findIndex((other) => other.simulated.seconds === racer.simulated.seconds),
      messages: messages.filter(({ to }) => to === rank).length,
      ...{ computing: computing + hidden, waiting: exposed + idle },
    };
  });
}

/** The finishing order, and where the difference comes from. */
export function whyText(standings: readonly Standing[]): string {
  const first = standings[0];
  const last = standings.at(-1)!;
  const took = (standing: Standing) => standing.racer.simulated.seconds;
  if (standings.length === 1)
    return `${first.name} takes ${seconds(took(first))}; there is no other mesh of so many ranks.`;
  const order = standings.map(({ name }) => name).join(", then ");
  const computing = last.computing - first.computing;
  const waiting = last.waiting - first.waiting;
  const cause =
    waiting >= computing
      ? `The last one waits ${seconds(last.waiting)} for messages, the first ${seconds(first.waiting)}${
          last.words > first.words
            ? ": more words on their way, and less to compute meanwhile"
            : `: ${last.words < first.words ? "fewer" : "as many"} words, but in more messages one after another, or with nothing to compute meanwhile`
        }.`
      : `The last one computes for ${seconds(last.computing)}, the first for ${seconds(first.computing)}: the same arithmetic in products whose shapes suit the device less.`;
  return `${order}. ${first.name} is done after ${seconds(took(first))}, ${(took(last) / took(first)).toFixed(2)} times as fast as ${last.name}; its busiest rank receives ${count(first.words)} words, the other's ${count(last.words)}. ${cause}`;
}

/** Of something that goes on from start to end, how much is done at a moment. */
const doneAt = ({ start, end }: { start: number; end: number }, now: number): number =>
  now >= end ? 1 : now <= start ? 0 : (now - start) / (end - start);

/** Words that the rank has received at a moment, those on their way in part. */
export const wordsAt = ({ racer, rank }: Standing, now: number): number =>
  racer.simulated.messages.reduce(
    (sum, message) => sum + (message.to === rank ? message.words * doneAt(message, now) : 0),
    0,
  );

/** Share of that rank's arithmetic that is done at a moment. */
export function computedAt({ racer, rank }: Standing, now: number): number {
  let [done, all] = [0, 0];
  for (const kernel of racer.simulated.kernels) {
    if (kernel.rank !== rank) continue;
    done += kernel.flops * doneAt(kernel, now);
    all += kernel.flops;
  }
  return done / all;
}
