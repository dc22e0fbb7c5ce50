// Networks of profiles: who is near whom, who shares which link, and what messages that share one take.

import fc from "fast-check";
import { test } from "uvu";
import { equal, is, ok } from "uvu/assert";
import { machineOf } from "../../src/plan/machine.ts";
import { type NetworkLevel, type Profile, parsePart, partNamed, whole } from "../../src/plan/profile.ts";
import { profileNamed } from "../../src/plan/profiles.ts";
import { receiveOp, type StepProgram, sendOp } from "../../src/plan/program.ts";
import { replay } from "../../src/plan/replay.ts";

const value = (number: number) => ({ value: number, origin: "estimate" });
const [near, far] = [1 / 64, 1 / 8];
/** Bytes a second: a port at home, a port outside, a home's line up and down, the air of a home. */
const [port, outside, up, down, air] = [8192, 65536, 1024, 2048, 4096];

/** Homes of `devices`, each with a line of its own. */
const homes = (devices: number, more: object = {}): Profile =>
  whole(
    partNamed("m1", "device"),
    parsePart({
      ...{ name: "homes", description: "homes", sources: [] },
      network: [
        { name: "home", devices, latencySeconds: value(near), bytesPerSecond: value(port), ...more },
        {
          ...{ name: "lines", latencySeconds: value(far), bytesPerSecond: value(outside) },
          ...{ uplinkBytesPerSecond: value(up), downlinkBytesPerSecond: value(down) },
        },
      ],
    }),
  );

const machine = (profile: Profile, devices: number) => machineOf(profile, { ranks: devices, devices, works: [] });

const bytes = 49152;

/** Messages of so many bytes, all ready at once; seconds until the last is there. */
function seconds(profile: Profile, devices: number, messages: readonly (readonly [from: number, to: number])[]) {
  const first = [0];
  const [kinds, what, waits]: number[][] = [[], [], []];
  const receive: number[] = [];
  for (let rank = 0; rank < devices; rank++) {
    for (const [i, [from, to]] of messages.entries()) {
      if (from !== rank && to !== rank) continue;
      if (to === rank) receive[i] = kinds.length;
      kinds.push(from === rank ? sendOp : receiveOp);
      what.push(i);
      waits.push(from === rank ? 0 : 1);
    }
    first.push(kinds.length);
  }
  const program: StepProgram = {
    ...{ ranks: devices, works: [], dependents: new Int32Array(), first: Int32Array.from(first) },
    ...{ kinds: Uint8Array.from(kinds), what: Int32Array.from(what), waits: Uint16Array.from(waits) },
    dependentsFrom: new Int32Array(kinds.length + 1),
    messages: {
      from: Int32Array.from(messages, ([from]) => from),
      to: Int32Array.from(messages, ([, to]) => to),
      bytes: Float64Array.from(messages, () => bytes),
      receive: Int32Array.from(receive),
    },
  };
  return replay(program, machine(profile, devices)).seconds;
}

test("inside a home a message has its ports to itself; outside it passes its home's line up and the other's down", () => {
  const { route, sharedLinks } = machine(homes(3), 9);
  is(sharedLinks, 6);
  equal(route(3, 5), { alpha: near, bytesPerSecond: port, shared: [] });
  const { shared, ...rest } = route(1, 6);
  equal(rest, { alpha: far, bytesPerSecond: up });
  equal(
    shared.map(({ bytesPerSecond }) => bytesPerSecond),
    [up, down],
  );
  const links = (from: number, to: number) => route(from, to).shared.map(({ link }) => link);
  is(links(1, 6)[0], links(2, 4)[0], "one line up for a home's devices");
  is(links(1, 6)[1], links(4, 8)[1], "one line down");
  is(new Set([...links(1, 6), ...links(6, 1), ...links(4, 1), ...links(1, 4)]).size, 6);
});

test("two devices of a home that send at once share its line up", () => {
  is(seconds(homes(2), 6, [[0, 2]]), far + bytes / up);
  is(
    seconds(homes(2), 6, [
      [0, 2],
      [1, 4],
    ]),
    far + (2 * bytes) / up,
  );
  is(
    seconds(homes(2), 6, [
      [0, 4],
      [2, 5],
    ]),
    far + bytes / down + bytes / up,
    "and those that receive its line down",
  );
  is(
    seconds(homes(2), 6, [
      [0, 2],
      [2, 4],
      [4, 0],
    ]),
    far + bytes / up,
    "lines up and down are two",
  );
  is(
    seconds(homes(2), 6, [
      [0, 1],
      [2, 3],
      [4, 5],
    ]),
    near + bytes / port,
    "and nobody shares what is inside",
  );
});

test("without a downlink of its own a line is as fast both ways", () => {
  const profile = homes(2);
  const [home, { downlinkBytesPerSecond: _, ...line }] = profile.network;
  const alike: Profile = { ...profile, network: [home, line as NetworkLevel] };
  is(
    seconds(alike, 6, [
      [0, 4],
      [2, 5],
    ]),
    far + (2 * bytes) / up,
  );
});

test("in the air of a home one message goes after another, and what leaves or enters it too", () => {
  const profile = homes(4, { mediumBytesPerSecond: value(air) });
  is(seconds(profile, 8, [[0, 1]]), near + bytes / air);
  is(
    seconds(profile, 8, [
      [0, 1],
      [2, 3],
    ]),
    near + (2 * bytes) / air,
  );
  is(
    seconds(profile, 8, [
      [0, 1],
      [4, 5],
    ]),
    near + bytes / air,
    "another home's air is another's",
  );
  const { route, sharedLinks } = machine(profile, 8);
  is(sharedLinks, 2 + 4);
  const inside = [route(0, 1), route(5, 6)].map(({ shared }) => shared[0].link);
  const across = route(0, 5).shared.map(({ link }) => link);
  ok(inside.every((link) => across.includes(link)));
  is(across.length, 4);
});

test("fewer devices than a home has room for: no line is in use", () => {
  const { route } = machine(homes(8), 3);
  equal(route(0, 2), { alpha: near, bytesPerSecond: port, shared: [] });
});

test("a device with a line of its own: its up, the other's down", () => {
  const home = profileNamed("m1", "home");
  const [line] = home.network;
  const { route, sharedLinks } = machine(home, 3);
  is(sharedLinks, 6);
  is(route(0, 2).bytesPerSecond, line.uplinkBytesPerSecond?.value);
  equal(
    [
      route(0, 1).shared[0].link === route(0, 2).shared[0].link,
      route(0, 1).shared[1].link === route(2, 1).shared[1].link,
    ],
    [true, true],
  );
  is(new Set([...route(0, 1).shared, ...route(1, 2).shared, ...route(2, 0).shared].map(({ link }) => link)).size, 6);
});

test("MeluXina: four devices of a node have one adapter outwards; A100 nodes of 8 have one each", () => {
  const across = (name: string, size: number) => {
    const pairs = Array.from({ length: 4 }, (_, i) => [i, size + i] as const);
    return seconds(profileNamed(name), 2 * size, pairs);
  };
  const close = (got: number, wanted: number) => ok(Math.abs(got / wanted - 1) < 1e-12, `${got}, not ${wanted}`);
  close(across("meluxina", 4), 9.6e-6 + (4 * bytes) / 25e9);
  close(across("a100", 8), 9.6e-6 + bytes / 25e9);
  const { route } = machine(profileNamed("meluxina"), 64);
  equal([route(0, 3).alpha, route(3, 4).alpha, route(60, 63).alpha], [3.4e-6, 9.6e-6, 3.4e-6]);
});

test("in random nested networks a link has one number, and only what passes the same link has it", () => {
  const kinds = fc.record({ factor: fc.integer({ min: 2, max: 3 }), line: fc.boolean(), medium: fc.boolean() });
  const networks = fc.tuple(fc.array(kinds, { minLength: 1, maxLength: 3 }), fc.integer({ min: 2, max: 20 }));
  fc.assert(
    fc.property(networks, ([levels, devices]) => {
      let size = 1;
      const units = levels.map(({ factor }, i) =>
        i === levels.length - 1 ? Number.POSITIVE_INFINITY : (size *= factor),
      );
      const network = levels.map(({ line, medium }, i) => ({
        ...{ name: `${i}`, latencySeconds: value(far), bytesPerSecond: value(port) },
        ...(Number.isFinite(units[i]) && { devices: units[i] }),
        ...(line && { uplinkBytesPerSecond: value(up), downlinkBytesPerSecond: value(down) }),
        ...(medium && { mediumBytesPerSecond: value(air) }),
      }));
      const part = parsePart({ name: "random", description: "random", sources: [], network });
      const { route, sharedLinks } = machine(whole(partNamed("m1", "device"), part), devices);
      const unit = (level: number, device: number) => Math.floor(device / (level < 0 ? 1 : units[level]));
      const numbers = new Map<string, number>();
      for (let from = 0; from < devices; from++)
        for (let to = 0; to < devices; to++) {
          if (from === to) continue;
          const passed = levels.flatMap(({ line, medium }, i) => {
            if (i > 0 && unit(i - 1, from) === unit(i - 1, to)) return [];
            const lines = [`up ${i} ${unit(i - 1, from)}`, `down ${i} ${unit(i - 1, to)}`];
            const airs = new Set([`air ${i} ${unit(i, from)}`, `air ${i} ${unit(i, to)}`]);
            return [...(line ? lines : []), ...(medium ? airs : [])];
          });
          const { shared } = route(from, to);
          is(shared.length, passed.length);
          for (const [i, name] of passed.entries()) {
            is(shared[i].link, numbers.get(name) ?? shared[i].link, name);
            numbers.set(name, shared[i].link);
          }
        }
      is(new Set(numbers.values()).size, numbers.size, "two links with one number");
      ok([...numbers.values()].every((link) => link < sharedLinks));
    }),
    { numRuns: 300 },
  );
});

test.run();
