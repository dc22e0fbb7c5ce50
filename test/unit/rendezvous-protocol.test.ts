import { test } from "uvu";
import { equal, is, ok, throws } from "uvu/assert";
import { Bucket } from "../../src/cluster/rendezvous/bucket.ts";
import { joinLink, parseLink } from "../../src/cluster/rendezvous/link.ts";
import {
  bounds,
  ProtocolError,
  parseFromRoom,
  parsePlan,
  parseToRoom,
  printable,
} from "../../src/cluster/rendezvous/protocol.ts";
import { refuses } from "./refusal.ts";

const join = { kind: "join", secret: "s", name: "Ada", adapter: "a GPU", role: "rank", running: 0 };
const plan = { layout: "2d", dims: [2, 2], program: "train", options: "{}", about: "trains" };

const says = (pattern: RegExp) => (error: unknown) => error instanceof ProtocolError && pattern.test(error.message);

test("what a member sends is taken as it is, and fields that no message has are dropped", () => {
  equal(parseToRoom(JSON.stringify({ ...join, rank: 3, number: 1, __proto__: null })), join);
  equal(parseToRoom('{"kind":"pong","data":[[[[[[1]]]]]]}'), { kind: "pong" });
});

test("texts that are too long, no texts, or cannot be printed are refused by the field's name", () => {
  const refused = (change: object, pattern: RegExp) =>
    throws(() => parseToRoom(JSON.stringify({ ...join, ...change })), says(pattern));
  refused({ name: "x".repeat(bounds.name + 1) }, /^name has 41 characters, need 1 to 40$/);
  refused({ name: "" }, /^name has 0 characters, need 1 to 40$/);
  refused({ name: undefined }, /^name is no text$/);
  refused({ name: "\u001b[2J" }, /^name has characters that cannot be printed$/);
  refused({ name: "\u202eadA" }, /^name has characters that cannot be printed$/);
  refused({ adapter: "\ud800" }, /^adapter has characters/);
  refused({ secret: ["s"] }, /^secret is no text$/);
  refused({ secret: "s".repeat(129) }, /^secret has 129 characters/);
  refused({ role: "creator" }, /^role is none of rank, watcher$/);
  for (const running of [-1, 0.5, "0", null, 2 ** 53]) refused({ running }, /^running is no whole number/);
});

test("no error of the protocol quotes what was sent", () => {
  const marks = ["MARK".repeat(100), { MARK: 1 }, ["MARK"], "MARK\u0000"];
  for (const field of ["secret", "name", "adapter", "role", "running", "kind"])
    for (const mark of marks)
      try {
        parseToRoom(JSON.stringify({ ...join, [field]: mark }));
        ok(field === "secret" && mark === "MARK\u0000", `${field} was taken`);
      } catch (error) {
        ok(error instanceof ProtocolError, String(error));
        is(error.message.includes("MARK"), false, error.message);
      }
});

test("what is no message is refused, whatever it is", () => {
  for (const text of ["", "{", "null", "[]", "1", '"join"', "\u0000", `${"[".repeat(30_000)}${"]".repeat(30_000)}`])
    throws(() => parseToRoom(text), says(/^a message is (not JSON|no object)$/));
  for (const kind of ["welcome", "toString", "__proto__", "constructor", 1, null, undefined])
    throws(() => parseToRoom(JSON.stringify({ ...join, kind })), says(/^a message is of no known kind; need join/));
});

test("plans are within bounds: axes, ranks, program, options as JSON", () => {
  equal(parsePlan(plan), plan);
  const refused = (change: object, pattern: RegExp) => throws(() => parsePlan({ ...plan, ...change }), says(pattern));
  refused({ dims: [] }, /^dims say 1 ranks on 0 axes/);
  refused({ dims: [5, 13] }, /^dims say 65 ranks on 2 axes, need 1 to 64 ranks on 1 to 3 axes$/);
  refused({ dims: [2, 0.5] }, /^extent is no whole number/);
  refused({ dims: [1, 1, 1, 1] }, /^dims say 1 ranks on 4 axes/);
  refused({ dims: Array(81).fill(1) }, /^dims has more than 80 entries$/);
  refused({ options: "{" }, /^options is not JSON$/);
  refused({ options: `"${"x".repeat(16_383)}"` }, /^options has 16385 characters/);
  refused({ program: "" }, /^program has 0 characters/);
  throws(() => parsePlan([plan]), says(/^plan is no object$/));
});

test("the longest welcome is within what a member takes from a room", () => {
  const members = Array.from({ length: bounds.members }, (_, i) => ({
    ...{ number: bounds.whole - i, name: "\u4e00".repeat(bounds.name), adapter: '"'.repeat(bounds.adapter) },
    ...{ role: "watcher", state: "preparing", rank: 63 },
  }));
  const long = (length: number) => "\u4e00".repeat(length);
  const options = JSON.stringify(long(bounds.options - 2));
  const quotes = '"'.repeat(512);
  const server = { urls: Array(4).fill(`turn:${"h".repeat(251)}`), username: quotes, credential: quotes };
  const ice = { iceServers: Array(8).fill(server), iceTransportPolicy: "relay" };
  const longest = { ...plan, options, program: long(bounds.program), about: long(bounds.about), ice };
  const text = JSON.stringify({ kind: "welcome", number: 1, members, plan: longest, planNumber: 1, pingMs: 5000 });
  ok(Buffer.byteLength(text) <= bounds.answerBytes, `${Buffer.byteLength(text)} bytes`);
  is(parseFromRoom(text).kind, "welcome");
});

test("a name as it is typed becomes one that a room takes", () => {
  for (const [typed, taken] of [
    ["  Ada\n", "Ada"],
    ["a\u001b[31mb", "a [31mb"],
    [`${"x".repeat(39)}\u{1f600}`, "x".repeat(39)],
    ["\u{1f600}", "\u{1f600}"],
  ]) {
    is(printable(typed, bounds.name), taken);
    equal(parseToRoom(JSON.stringify({ ...join, name: taken })), { ...join, name: taken });
  }
});

test("a link gives back its address and secret, and anything else is refused in a sentence", () => {
  const parts = { url: "http://192.168.0.7:8080/room/a", secret: "abcdefghijklmnop" };
  equal(parseLink(joinLink(parts)), parts);
  refuses(() => parseLink("http://192.168.0.7:8080/"), /the link has no secret; use the whole link/);
  refuses(() => parseLink("192.168.0.7:8080"), /neither an http nor a nats address/);
  refuses(() => parseLink("file:///etc/passwd#abc"), /neither an http nor a nats address/);
});

test("a bucket gives its burst at once, then its rate, and is never fuller than its burst", () => {
  const bucket = new Bucket({ perSecond: 10, burst: 3 }, 0);
  const takes = (nowMs: number) => {
    let count = 0;
    while (bucket.take(1, nowMs)) count++;
    return count;
  };
  equal([0, 0, 99, 100, 350, 10_000].map(takes), [3, 0, 0, 1, 2, 3]);
  is(bucket.full(10_299), false);
  is(bucket.full(10_300), true);
  is(takes(9_000), 3, "a clock that runs backwards takes nothing away");
});

test.run();
