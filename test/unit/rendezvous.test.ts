// Rooms behind a real server, over real sockets: who is there, and what they start.

import { test } from "uvu";
import { equal, is, match, not, ok } from "uvu/assert";
import { parseLink } from "../../src/cluster/rendezvous/link.ts";
import { planOf, secret } from "./rendezvous-bench.ts";
import { join, rejects, serving, states, thrown, until } from "./rendezvous-server.ts";

test("members join, see each other, agree, and start with ranks in the order of joining", () =>
  serving({ dims: [2] }, async (rendezvous) => {
    const heard: string[][] = [];
    const ada = await join(rendezvous, "Ada", { events: { members: (members) => heard.push(states(members)) } });
    const ben = await join(rendezvous, "Ben\u001b[2J");
    equal(ada.plan, planOf([2]));
    await until(() => ada.members.length === 2);
    equal(ada.members, ben.members);
    const starts = await Promise.all([ben.agree(), ada.agree()].reverse());
    equal(
      starts.map(({ rank, size, layout, dims, program, options, members }) => {
        return { rank, size, layout, dims, program, options, names: members.map(({ name }) => name) };
      }),
      [0, 1].map((rank) => ({
        ...{ rank, size: 2, layout: "1d", dims: [2], program: "train", options: "{}", names: ["Ada", "Ben [2J"] },
      })),
    );
    is(starts[0].generation, starts[1].generation);
    await until(() => heard.at(-1)?.join() === "Ada running,Ben [2J running");
  }));

test("signals reach the rank they are for, with what JSON can say, and wait until somebody listens", () =>
  serving({ dims: [3] }, async (rendezvous) => {
    const members = await Promise.all(["a", "b", "c"].map((name) => join(rendezvous, name)));
    const starts = await Promise.all(members.map((member) => member.agree()));
    const byRank = starts.sort((a, b) => a.rank - b.rank);
    const taken: { at: number; from: number; data: unknown }[] = [];
    byRank[0].signalling.send(2, { sdp: 'v=0\r\n"\u4e00', list: [1, null] });
    byRank[0].signalling.send(2, "second");
    byRank[1].signalling.send(2, "third");
    await new Promise((resolve) => setTimeout(resolve, 50));
    for (const { rank, signalling } of byRank) signalling.listen((from, data) => taken.push({ at: rank, from, data }));
    byRank[2].signalling.send(0, "back");
    await until(() => taken.length === 4);
    equal(
      taken.filter(({ from }) => from === 0),
      [
        { at: 2, from: 0, data: { sdp: 'v=0\r\n"\u4e00', list: [1, null] } },
        { at: 2, from: 0, data: "second" },
      ],
    );
    ok(taken.some(({ at, from, data }) => at === 2 && from === 1 && data === "third"));
    ok(taken.some(({ at, from, data }) => at === 0 && from === 2 && data === "back"));
    for (const to of [-1, 0, 3, 0.5])
      is(thrown(() => byRank[0].signalling.send(to, "x"))?.name, "RangeError", `from rank 0 to ${to}`);
    match(thrown(() => byRank[0].signalling.send(1, "x".repeat(20_000)))?.message ?? "", /need 1 to 16384/);
  }));

test("late joiners wait; survivors start again with them under a new generation, and old signals are lost", () =>
  serving({ dims: [2], limits: { settleMs: 100 } }, async (rendezvous) => {
    const [ada, ben] = [await join(rendezvous, "Ada"), await join(rendezvous, "Ben")];
    const [first, second] = await Promise.all([ada.agree(), ben.agree()]);
    const cleo = await join(rendezvous, "Cleo");
    let cleoStarted = false;
    const third = cleo.agree().then((start) => {
      cleoStarted = true;
      return start;
    });
    await until(() => ada.members.some(({ name, state }) => name === "Cleo" && state === "agreed"));
    is(cleoStarted, false);
    ben.leave();
    await until(() => ada.members.length === 2);
    is(cleoStarted, false, "Ada still runs");
    first.end("rank 1 is gone");
    const again = await ada.agree();
    const late = await third;
    equal([again.rank, late.rank], [0, 1]);
    ok(again.generation > first.generation);
    is(late.generation, again.generation);
    const taken: unknown[] = [];
    late.signalling.listen((_, data) => taken.push(data));
    first.signalling.send(1, "of the first run");
    again.signalling.send(1, "of the second");
    await until(() => taken.length > 0);
    equal(taken, ["of the second"]);
    is(second.generation, first.generation);
  }));

test("a rank that ends a run ends it for all, with its reason, and a smaller mesh starts with the survivors", () =>
  serving({ dims: [3] }, async (rendezvous) => {
    const plans: unknown[] = [];
    const members = await Promise.all(
      ["a", "b", "c"].map((name) => join(rendezvous, name, { events: { plan: ({ dims }) => plans.push(dims) } })),
    );
    const starts = await Promise.all(members.map((each) => each.agree()));
    members[2].leave();
    starts[0].end("a message from rank 2 did not come");
    await until(() => starts[1].over.aborted);
    match(starts[1].over.reason.message, /the run has ended: rank \d: a message from rank 2 did not come/);
    const waiting = members[0].agree();
    rendezvous.propose(planOf([2]));
    await rejects(waiting, /the room runs something else now; read what, and agree again/);
    await until(() => plans.length === 2);
    const again = await Promise.all([members[0].agree(), members[1].agree()]);
    equal(
      again.map(({ size, dims }) => ({ size, dims })),
      [1, 2].map(() => ({ size: 2, dims: [2] })),
    );
  }));

test("a member that is not ready is not waited for: it hears why, and can agree again", () =>
  serving({ dims: [2], limits: { readyMs: 50, readyAttempts: 2 } }, async (rendezvous) => {
    let loaded = () => {};
    const slow = await join(rendezvous, "slow", { prepare: () => new Promise((resolve) => (loaded = resolve)) });
    const starting = slow.agree();
    const [ben, cleo] = [await join(rendezvous, "Ben"), await join(rendezvous, "Cleo")];
    const others = [ben.agree(), cleo.agree()];
    await rejects(starting, /the others start without this member: it was not ready within 0.1 s, asked 2 times/);
    equal(
      (await Promise.all(others)).map(({ rank }) => rank),
      [0, 1],
    );
    loaded();
    is(rendezvous.members[0].state, "here");
  }));

test("a member that cannot prepare leaves with its error, and the others wait for another", () =>
  serving({ dims: [2] }, async (rendezvous) => {
    const broken = await join(rendezvous, "broken", { prepare: () => Promise.reject(new Error("no such program")) });
    const ada = await join(rendezvous, "Ada");
    const [start, error] = [ada.agree(), broken.agree().catch((reason: Error) => reason.message)];
    is(await error, "no such program");
    const ben = await join(rendezvous, "Ben");
    is((await ben.agree()).rank, 1);
    is((await start).rank, 0);
    await rejects(broken.agree(), /this member has left the room; join again/);
  }));

test("rooms beside each other know nothing of each other; a closed one is gone", () =>
  serving({ dims: [1], mostRooms: 2 }, async (rendezvous) => {
    const other = rendezvous.open("other", { plan: planOf([1], "another run") });
    not.equal(parseLink(other.joinUrl).secret, secret);
    const ada = await join(rendezvous, "Ada");
    const ben = await join(other, "Ben", { retries: 0 });
    equal([states(ada.members), states(ben.members)], [["Ada here"], ["Ben here"]]);
    is(ben.plan.about, "another run");
    await rejects(join(other, "Eve", { secret }), /the secret is wrong/);
    match(
      thrown(() => rendezvous.open("other", { plan: planOf([1]) }))?.message ?? "",
      /there is a room other already/,
    );
    match(thrown(() => rendezvous.open("third", { plan: planOf([1]) }))?.message ?? "", /there are 2 rooms already/);
    match(thrown(() => rendezvous.open("../x", { plan: planOf([1]) }))?.message ?? "", /a room's name needs/);
    other.close();
    await rejects(ben.agree(), /is lost|join again/);
    await rejects(join(other, "Ben"), /no room answers .*404/);
    is((await ada.agree()).size, 1);
  }));

test.run();
