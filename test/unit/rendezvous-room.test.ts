import { test } from "uvu";
import { equal, is, match, ok } from "uvu/assert";
import { refuses } from "./refusal.ts";
import { Bench, type End, planOf, secret } from "./rendezvous-bench.ts";

/** Everything this end was told is one dropping for this reason. */
function refused(end: End, pattern: RegExp, { final = true } = {}): void {
  const [dropped, ...others] = end.received;
  ok(dropped?.kind === "dropped" && others.length === 0, JSON.stringify(end.received));
  match(dropped.reason, pattern);
  is(dropped.final, final);
  ok(end.closed !== undefined);
}

test("no, a wrong or an expired secret: a reason and nothing else, and members hear nothing of it", () => {
  const bench = new Bench({ dims: [2], secretExpiresMs: 60_000 });
  const [inside] = bench.joined(1);
  const heard = inside.received.length;
  refused(bench.end().join({ secret: "" }), /no secret was given; use the whole link/);
  refused(bench.end().join({ secret: `${secret}x` }), /the secret is wrong; use the whole link/);
  refused(bench.end().join({ secret: secret.slice(1) }), /the secret is wrong/);
  bench.nowMs = 59_999;
  ok(bench.end().join().member);
  bench.nowMs = 60_000;
  refused(bench.end().join(), /the link has expired; ask for a new one/);
  refused(bench.end().join({ secret: "wrong-horse-battery" }), /the secret is wrong/);
  equal(
    inside.received.slice(heard).map(({ kind }) => kind),
    ["members"],
    "of the one that joined",
  );
  is(bench.room.members.length, 2);
});

test("who has not joined can do nothing but join", () => {
  const bench = new Bench({ dims: [1] });
  const messages = [
    { kind: "agree", plan: 1 },
    { kind: "ready", generation: 1 },
    { kind: "over", generation: 1, reason: "" },
    { kind: "signal", generation: 1, to: 0, sequence: 1, data: "1" },
    { kind: "pong" },
    { kind: "leave" },
  ];
  for (const message of messages) {
    const end = bench.end();
    end.say(message);
    refused(end, /the first message does not join/);
    end.join();
    is(end.received.length, 1, "a dropped connection stays dropped");
  }
  equal(bench.room.members, []);
});

test("secrets that are short or fit no link, and plans that cannot be, are refused to the creator", () => {
  refuses(() => new Bench({ dims: [2], secret: "short" }), /the secret has 5 characters, need 16 to 128/);
  refuses(() => new Bench({ dims: [2], secret: "sixteen characters" }), /of a-z, A-Z, 0-9/);
  refuses(() => new Bench({ dims: [65] }), /the plan cannot be: extent is no whole number from 1 to 64/);
  refuses(() => new Bench({ dims: [2] }).room.propose(planOf([9, 9])), /dims say 81 ranks/);
});

test("ranks follow the order of joining, whatever the order of agreeing, and all are told the same", () => {
  const bench = new Bench({ dims: [3] });
  const ends = bench.joined(4);
  for (const at of [3, 2, 0, 1]) ends[at].agree();
  equal(
    ends.map((end) => end.of("prepare").map(({ rank }) => rank)),
    [[0], [], [1], [2]],
    "three had agreed before the second one",
  );
  for (const end of ends) end.ready();
  equal(
    ends.map((end) => end.of("start").map(({ rank, ranks }) => ({ rank, ranks }))),
    [[{ rank: 0, ranks: [1, 3, 4] }], [], [{ rank: 1, ranks: [1, 3, 4] }], [{ rank: 2, ranks: [1, 3, 4] }]],
  );
});

test("signals go between started ranks only, under the sender's own rank, once each", () => {
  const bench = new Bench({ dims: [2] });
  const [a, b] = bench.started(2);
  const [c] = bench.joined(1);
  a.signal(1, '"offer"', { from: 7, rank: 7, number: 3 });
  equal(b.of("signal"), [{ kind: "signal", generation: 1, from: 0, data: '"offer"' }]);
  a.signal(1, '"again"', { sequence: 1 });
  a.signal(1, '"late"', { generation: 7 });
  c.signal(0, '"from no rank"', { generation: 1 });
  is(b.of("signal").length, 1);
  is(a.of("signal").length, 0);
  is(bench.room.droppedSignals, 3);
  ok(a.member && c.member, "late and replayed signals happen");
  a.signal(0, '"to itself"');
  match(a.closed ?? "", /a signal is for no other rank of the mesh/);
  b.signal(2, '"beyond"');
  match(b.closed ?? "", /a signal is for no other rank of the mesh/);
});

test("a member that is not ready is asked again so often, then the others start without it", () => {
  const bench = new Bench({ dims: [2] });
  const [a, b, c] = bench.joined(3);
  for (const end of [a, b, c]) end.agree();
  b.ready();
  bench.pass(9_000);
  is(a.of("prepare").length, 1);
  bench.pass(19_000);
  equal([a.of("prepare").length, b.of("prepare").length], [3, 1], "only who is missing is asked");
  is(a.of("over").length, 0);
  bench.pass(3_000);
  equal(a.of("over"), [
    {
      ...{ kind: "over", generation: 1 },
      reason: "was not ready within 30 s, asked 3 times; agree again to take part",
    },
  ]);
  is(a.member?.state, "here");
  equal(
    [b, c].map((end) => end.of("prepare").at(-1)),
    [
      { kind: "prepare", generation: 2, rank: 0 },
      { kind: "prepare", generation: 2, rank: 1 },
    ],
  );
  a.ready();
  for (const end of [b, c]) end.ready();
  equal(
    [a, b, c].map((end) => end.of("start").map(({ generation }) => generation)),
    [[], [2], [2]],
  );
});

test("what is ready for an earlier barrier is not ready for this one", () => {
  const bench = new Bench({ dims: [2] });
  const [a, b, c] = bench.joined(3);
  for (const end of [a, b, c]) end.agree();
  a.ready();
  b.cut();
  equal(c.of("prepare"), [{ kind: "prepare", generation: 2, rank: 1 }]);
  c.ready();
  a.say({ kind: "ready", generation: 1 });
  is(a.of("start").length, 0);
  a.ready();
  equal(
    [a, c].map((end) => end.of("start").at(0)?.generation),
    [2, 2],
  );
});

test("late joiners wait while a mesh runs; when it has ended survivors start again together, before them", () => {
  const bench = new Bench({ dims: [3] });
  const [a, b, c] = bench.started(3);
  const late = bench.joined(3).map((end) => end.agree());
  is(late[0].of("prepare").length, 0);
  b.cut();
  equal(a.of("left"), [{ kind: "left", number: 2, reason: "its connection broke" }]);
  is(a.of("over").length, 0, "a mesh whose rank lost the room may go on");
  c.say({ kind: "over", generation: 1, reason: "rank 1 has not answered for 60 s" });
  equal(a.of("over"), [{ kind: "over", generation: 1, reason: "rank 2: rank 1 has not answered for 60 s" }]);
  c.agree();
  is(late[0].of("prepare").length, 0, "a is waited for");
  a.agree();
  for (const end of bench.ends) if (end.of("prepare").at(-1)?.generation === 2) end.ready();
  equal(
    bench.ends.map((end) => end.of("start").at(-1)?.ranks),
    [[1, 3, 4], [1, 2, 3], [1, 3, 4], [1, 3, 4], undefined, undefined],
  );
});

test("a survivor that does not agree again is not waited for longer than the limit", () => {
  const bench = new Bench({ dims: [2] });
  const [a, b] = bench.started(2);
  bench.joined(1)[0].agree();
  a.say({ kind: "over", generation: 1, reason: "done" });
  a.agree();
  bench.pass(4_000);
  is(a.of("prepare").length, 1);
  bench.pass(2_000);
  is(a.of("prepare").length, 2);
  is(b.member?.state, "here");
});

test("another plan takes agreements back, and a run goes on; agreeing to the plan before counts for nothing", () => {
  const bench = new Bench({ dims: [2] });
  const [a, b] = bench.started(2);
  const [c, d] = bench.joined(2).map((end) => end.agree());
  bench.room.propose(planOf([3]));
  equal(
    [a, b, c, d].map((end) => end.member?.state),
    ["running", "running", "here", "here"],
  );
  c.say({ kind: "agree", plan: 1 });
  is(c.member?.state, "here");
  a.say({ kind: "over", generation: 1, reason: "done" });
  for (const end of [a, b, c, d]) end.agree();
  equal(
    [a, b, c, d].map((end) => end.of("prepare").at(-1)?.generation),
    [2, 2, 2, undefined],
  );
});

test("one that joins while its mesh runs holds up the next start, and cannot end others' run", () => {
  const bench = new Bench({ dims: [2] });
  const [a, b] = bench.started(2);
  const back = bench.end().join({ running: 1 });
  is(back.member?.state, "running");
  back.say({ kind: "over", generation: 1, reason: "mischief" });
  is(back.member?.state, "here");
  equal([a.of("over").length, a.member?.state, b.member?.state], [0, "running", "running"]);
  const restarted = new Bench({ dims: [1], firstGeneration: 100 });
  const running = restarted.end().join({ running: 1 });
  const [late] = restarted.joined(1);
  late.agree();
  is(late.of("prepare").length, 0);
  running.say({ kind: "leave" });
  equal(late.of("prepare"), [{ kind: "prepare", generation: 100, rank: 0 }]);
});

test("who is silent is dropped after the limit, the others are told, and answering keeps a member", () => {
  const bench = new Bench({ dims: [2] });
  const [a, b] = bench.joined(2);
  for (bench.nowMs = 0; bench.nowMs < 20_000; bench.nowMs += 1000) {
    bench.room.tick();
    if (a.received.at(-1)?.kind === "ping") a.say({ kind: "pong" });
  }
  match(b.closed ?? "", /has not answered for 15 s/);
  is(b.of("ping").length, 2);
  equal(a.of("left"), [{ kind: "left", number: 2, reason: "has not answered for 15 s" }]);
  ok(a.member);
});

test("strangers are bounded: how many wait, how long, and what a member may send", () => {
  const limits = { waiting: 2, members: 3, messages: { perSecond: 1, burst: 5 } };
  const bench = new Bench({ dims: [2], limits });
  const [first, second, third] = [bench.end(), bench.end(), bench.end()];
  refused(first, /too many connections are waiting to join/, { final: false });
  bench.nowMs = 10_000;
  bench.room.tick();
  for (const end of [second, third]) refused(end, /did not join within 10 s/, { final: false });
  const [a] = bench.joined(3);
  refused(bench.end().join(), /the room is full: it has 3 members; wait until one leaves/);
  for (let i = 0; i < 4; i++) a.say({ kind: "pong" });
  ok(a.member);
  a.say({ kind: "pong" });
  match(a.closed ?? "", /sent more than 1 messages a second/);
  const few = new Bench({ dims: [2], limits: { characters: { perSecond: 10, burst: 1000 } } });
  const [b] = few.joined(1);
  b.say({ kind: "pong", rest: "x".repeat(900) });
  match(b.closed ?? "", /sent more than 10 characters a second/);
});

test("a message that is too long, or not understood, drops its sender without saying what it was", () => {
  const bench = new Bench({ dims: [2] });
  for (const text of [
    `{"kind":"pong","x":"${"x".repeat(70_000)}"}`,
    "MARK",
    '{"kind":"MARK"}',
    '{"kind":"agree","plan":"MARK"}',
  ]) {
    const [end] = bench.joined(1);
    end.connection.receive(text);
    match(end.closed ?? "", /^sent what is not understood: /);
    is(JSON.stringify(end.received).includes("MARK"), false);
  }
  const [again] = bench.joined(1);
  again.join();
  match(again.closed ?? "", /a member joined again/);
  const watcher = bench.end().join({ role: "watcher" }).agree();
  match(watcher.closed ?? "", /a watcher agreed to take part/);
  equal(bench.room.members, []);
});

test("a closed room sends everybody out, and they may come again", () => {
  const bench = new Bench({ dims: [2] });
  const ends = [...bench.joined(2), bench.end()];
  bench.room.close("the rendezvous has ended");
  for (const end of ends)
    equal(end.received.at(-1), { kind: "dropped", reason: "the rendezvous has ended", final: false });
  equal([bench.room.size, bench.room.members], [0, []]);
  for (const end of ends) end.connection.closed();
  bench.room.tick();
});

test.run();
