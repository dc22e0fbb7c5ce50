// A room under random sequences of events: what must hold after every one of them, and that in the end a start comes.

import fc from "fast-check";
import { test } from "uvu";
import { equal, is, ok } from "uvu/assert";
import type { Member } from "../../src/cluster/rendezvous/protocol.ts";
import { Bench, type End, planOf } from "./rendezvous-bench.ts";

const step = fc.record({
  // Most of what happens is honest, or nothing would ever start.
  what: fc.constantFrom(
    ...(["enter", "enter", "enter", "enter", "agree", "agree", "agree", "agree", "agree", "agree"] as const),
    ...(["ready", "ready", "ready", "ready", "ready", "ready", "ready", "ready", "answer", "answer"] as const),
    ...(["signal", "signal", "signal", "signal", "claim", "replay", "over", "over", "pass", "pass"] as const),
    ...(["connect", "join again", "wrong", "garbage", "watch", "propose", "leave", "break"] as const),
  ),
  who: fc.nat(1000),
  number: fc.nat(9),
});
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** What the tests remember of a bench beside what its ends were told. */
interface Log {
  bench: Bench;
  /** ends that gave the secret */
  inside: Set<End>;
  heardMs: Map<End, number>;
  /** by their data */
  sent: Map<string, { from: End; to: number; generation: number; sequence: number }>;
  ready: Map<number, Set<End>>;
}

function perform({ bench, inside, heardMs, sent, ready }: Log, { what, who, number }: Step): void {
  const { ends, room } = bench;
  if (what === "connect" || what === "enter") bench.end();
  if (what === "propose" && number < 4) room.propose(planOf([1 + number]));
  if (what === "pass") {
    bench.nowMs += number * 700;
    room.tick();
  }
  const open = ends.filter(({ closed }) => closed === undefined);
  const end = what === "enter" ? ends[ends.length - 1] : open[who % Math.max(1, open.length)];
  if (!end) return;
  const inRoom = inside.has(end);
  // One mistake in so many: it costs the connection.
  const first = what === "enter" || what === "watch" || what === "wrong";
  if ((inRoom === first || what === "join again" || what === "garbage") && number > 0) return;
  heardMs.set(end, bench.nowMs);
  const last = end.of(what === "ready" ? "prepare" : "start").at(-1)?.generation;
  const generation = last === undefined || number === 9 ? number + 1 : last;
  if (what === "enter" || what === "watch" || what === "join again") {
    inside.add(end);
    end.join({ role: what === "watch" ? "watcher" : "rank", running: number === 0 ? 1 : 0 });
  } else if (what === "wrong") end.join({ secret: `no-such-secret-${number}` });
  else if (what === "garbage") end.connection.receive("{".repeat(number));
  else if (what === "break" && number < 4) end.cut();
  else if (what === "leave" && number < 4) end.say({ kind: "leave" });
  else if (what === "answer") end.say({ kind: "pong" });
  else if (what === "over") end.say({ kind: "over", generation, reason: "because" });
  else if (what === "agree" && end.member?.state === "running" && number > 0) return;
  else if (what === "agree" && number > 0) end.agree();
  else if (what === "agree") end.say({ kind: "agree", plan: 1 });
  else if (what === "ready") {
    const started = end.of("start").some((each) => each.generation === generation);
    if (inRoom && !started) ready.set(generation, (ready.get(generation) ?? new Set()).add(end));
    end.say({ kind: "ready", generation });
  } else if (what === "replay") {
    const own = [...sent].filter(([, { from }]) => from === end);
    if (own.length === 0) return;
    const [data, { to, generation: of, sequence }] = own[number % own.length];
    end.say({ kind: "signal", generation: of, to, sequence, data });
  } else if (what === "signal" || what === "claim") {
    const data = `${sent.size}`;
    const { rank = 0, ranks = [] } = end.of("start").at(-1) ?? {};
    const others = [...ranks.keys()].filter((each) => each !== rank);
    const to = number === 9 ? 2 : (others.at(number % Math.max(1, others.length)) ?? 0);
    sent.set(data, { from: end, to, generation, sequence: end.sequence + 1 });
    end.signal(to, data, { generation, ...(what === "claim" && { from: (to + 1) % 3, number: 1, rank: 0 }) });
  }
}

/** What must hold at any time. */
function holds({ bench, heardMs }: Log): void {
  const { ends, room } = bench;
  const ranked = new Map<string, Member>();
  for (const member of room.members) {
    if (member.rank === undefined) continue;
    const place = `${member.state} ${member.rank}`;
    ok(!ranked.has(place), `two members are ${place}`);
    ranked.set(place, member);
  }
  for (const end of ends)
    if (end.member) {
      equal([...end.view.values()].sort(byNumber), room.members, "members know who is there");
      ok(bench.nowMs - (heardMs.get(end) ?? 0) < room.limits.silentMs + 7000, "silence is found at the next tick");
    }
}

/** What must hold of all that was ever told. */
function held({ bench: { ends }, inside, sent, ready }: Log): void {
  const starts = new Map<number, { rank: number; ranks: number[]; end: End }[]>();
  const delivered = new Set<string>();
  for (const end of ends) {
    if (!inside.has(end) || end.of("welcome").length === 0)
      for (const { kind } of end.received) is(kind, "dropped", "nobody without the secret hears anything else");
    let generation = 0;
    for (const message of end.received) {
      if (message.kind === "start") {
        ok(message.generation > generation, "generations grow");
        generation = message.generation;
        starts.set(generation, [...(starts.get(generation) ?? []), { ...message, end }]);
      }
      if (message.kind !== "signal") continue;
      const { from, to, generation: of } = sent.get(message.data)!;
      ok(!delivered.has(message.data), "no signal comes twice");
      delivered.add(message.data);
      const sender = from.of("start").find((each) => each.generation === of);
      is(message.generation, of);
      is(sender?.rank, message.from, "a signal is its sender's");
      is(end.of("start").find((each) => each.generation === of)?.rank, to, "and goes to whom it is for");
    }
  }
  for (const [generation, all] of starts) {
    const [{ ranks }] = all;
    equal(
      all.map(({ rank }) => rank).sort(),
      ranks.map((_, rank) => rank),
      `generation ${generation}: each rank once`,
    );
    equal(
      [...ranks].sort((a, b) => a - b),
      ranks,
      "ranks follow the order of joining",
    );
    for (const { end, rank, ranks: same } of all) {
      equal(same, ranks);
      is(end.of("welcome")[0].number, ranks[rank], "everybody is the rank it was told");
      ok(ready.get(generation)?.has(end), "nobody is started who was not ready");
    }
  }
}

const byNumber = (a: Member, b: Member) => a.number - b.number;

/** Those that are left do what honest members do. */
function settles({ bench }: Log): void {
  const honest = () => bench.ends.filter((end) => end.member?.role === "rank");
  bench.room.propose(planOf([Math.max(1, honest().length)]));
  const before = honest().map((end) => end.of("start").length);
  if (before.length === 0) return;
  for (const end of honest()) end.agree();
  for (const end of honest()) end.ready();
  equal(
    honest().map((end) => end.of("start").length),
    before.map((count) => count + 1),
    "whoever is left can start again",
  );
}

test("400 random sequences of 120 events: no two members with one rank, nothing without the secret, no signal twice or to another, and always a start in the end", () => {
  let startCount = 0;
  let signalCount = 0;
  fc.assert(
    fc.property(fc.array(fc.noBias(step), { minLength: 120, maxLength: 120 }), (steps) => {
      const bench = new Bench({ dims: [2], limits: { members: 6, waiting: 3 } });
      const log: Log = { bench, inside: new Set(), heardMs: new Map(), sent: new Map(), ready: new Map() };
      for (const each of steps) {
        perform(log, each);
        holds(log);
      }
      held(log);
      startCount += bench.ends.reduce((sum, end) => sum + end.of("start").length, 0);
      signalCount += bench.ends.reduce((sum, end) => sum + end.of("signal").length, 0);
      settles(log);
    }),
    { seed: 20261121, numRuns: 400 },
  );
  ok(
    startCount > 400 && signalCount > 40,
    `the sequences started ${startCount} ranks and brought ${signalCount} signals`,
  );
});

test.run();
