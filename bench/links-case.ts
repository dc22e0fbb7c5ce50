// What is sent in `npm run bench -- links`.

/** One size of messages. Plain data: it crosses to workers. */
export interface Case {
  /** of a message; 0: an empty one */
  readonly bytes: number;
  /** messages a round */
  readonly count: number;
  /** messages the receiver answers together */
  readonly group: number;
  /** groups sent before an answer is waited for */
  readonly underWay: number;
}

/** Empty messages go one by one, there and back. Of the others a sender is ahead by a few, as in training. With 256 of 64 KB a round is over
 *  before an engine has compiled what it runs, and takes twice as long a message. */
export const cases: readonly Case[] = [
  { bytes: 0, count: 200, group: 1, underWay: 1 },
  { bytes: 64 << 10, count: 1024, group: 8, underWay: 2 },
  { bytes: 1 << 20, count: 32, group: 2, underWay: 2 },
  { bytes: 16 << 20, count: 4, group: 1, underWay: 2 },
];
/** A quarter of the messages, as WebRTC is far slower, but two turns of what is under way: a message alone would be read, sent and
 *  written one after the other. No fewer are under way: with 4 of 64 KB both the bare channel and ours wait for answers. */
export const forRtc = (each: Case): Case => ({
  ...each,
  count: Math.max(each.count / 4, 2 * each.group * each.underWay),
});
