// Who is there, as a member that has just come sees it: entries and answers come on two ways, in any order.

import { test } from "uvu";
import { equal, is } from "uvu/assert";
import { newId } from "../../src/cluster/rendezvous/nats-letters.ts";
import { type Entry, type Memory, Roster } from "../../src/cluster/rendezvous/nats-roster.ts";

const silentMs = 3000;

function entryOf({ number, planned }: { number: number; planned: boolean }): Entry {
  const join = { kind: "join", secret: "", name: "Ada", adapter: "", role: "rank", running: 0 } as const;
  return { id: newId(), number, sequence: 1, planned, join };
}

/** One that does not know what the room runs. */
const newcomer: Memory = { plan: undefined, expiresMs: undefined, generation: 0, before: undefined, founds: false };
const nobody = { reason: "nobody is there; open the room first", final: false };

test("who has answered is there, though the entry with its number is still on its way: nobody is refused for it, nor leads past it", () => {
  const roster = new Roster({ silentMs, nowMs: () => 0 });
  const own = entryOf({ number: 5, planned: true });
  equal(roster.refusal(newcomer, false), nobody);
  is(roster.leader(own), own.id);
  const entered = entryOf({ number: 0, planned: true });
  is(roster.put(entered), true);
  is(roster.heard(entered.id, 1), true);
  is(roster.refusal(newcomer, false), undefined);
  is(roster.leader(own), undefined);
  roster.put({ ...entered, number: 2, sequence: 2 });
  is(roster.refusal(newcomer, false), undefined);
  is(roster.leader(own), entered.id);
});

test("who never gets a number is waited for no longer than who never answers", () => {
  for (const answers of [false, true]) {
    let nowMs = 0;
    const roster = new Roster({ silentMs, nowMs: () => nowMs });
    const own = entryOf({ number: 5, planned: true });
    const entered = entryOf({ number: 0, planned: true });
    roster.put(entered);
    if (answers) roster.heard(entered.id, 1);
    nowMs = silentMs / 2 - 1;
    is(roster.refusal(newcomer, false), undefined);
    is(roster.leader(own), undefined);
    nowMs++;
    equal(roster.refusal(newcomer, false), nobody);
    is(roster.leader(own), own.id);
  }
});

test.run();
