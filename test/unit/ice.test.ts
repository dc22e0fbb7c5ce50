// STUN and TURN servers as they come from command lines and from rooms: what is taken, and that refusals show no password.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import { equal, instance, is, match, throws, unreachable } from "uvu/assert";
import { UserError } from "../../src/backend/errors.ts";
import { type IceFlags, iceOf, requireRelay } from "../../src/cli/ice.ts";
import { planLines } from "../../src/cli/room-text.ts";
import { ProtocolError, parsePlan, samePlan } from "../../src/cluster/rendezvous/protocol.ts";
import { iceBounds, isIceUrl, parseIce } from "../../src/comm/ice.ts";

const hidden = "correct horse";
const variable = "SHARDGRAD_TURN_PASSWORD";

test.before.each(() => {
  delete process.env[variable];
});

test("URLs of servers: a scheme, a host, a port, and nothing else but TURN's transport", () => {
  const good = ["stun:h", "stun:h:3478", "turn:192.168.0.7:3478?transport=udp", "turns:turn.a-b.org?transport=tcp"];
  for (const url of [...good, "TURN:[2001:db8::1]:65535"]) is(isIceUrl(url), true, url);
  const bad = [
    "",
    "h:3478",
    "http://h",
    "stun:",
    "stun://h",
    "stun:h:0",
    "stun:h:65536",
    "stun:h?transport=udp",
    "turn:a@h",
  ];
  for (const url of [...bad, "turn:h/x", "turn:h\n", "turn:h?transport=sctp", `stun:${"h".repeat(300)}`])
    is(isIceUrl(url), false, url);
});

test("what a room says of servers is within bounds, and errors quote nothing of it", () => {
  const server = { urls: "turn:h:3478", username: "1700000000:ada", credential: hidden };
  const taken = { iceServers: [{ ...server, urls: ["turn:h:3478"] }], iceTransportPolicy: "relay" } as const;
  equal(parseIce({ ...taken, more: 1, iceServers: [{ ...server, x: 1 }] }), taken);
  equal(parseIce(taken), taken);
  equal(parseIce({}), {});
  equal(parseIce({ iceServers: [{ urls: "stun:h" }] }), { iceServers: [{ urls: ["stun:h"] }] });
  const refused = (value: unknown, pattern: RegExp) => {
    const error = caught(() => parseIce(value));
    instance(error, SyntaxError);
    match(error.message, pattern);
    is(/hidden|horse|MARK/.test(error.message), false, error.message);
  };
  refused(null, /no object/);
  refused({ iceServers: {} }, /no list/);
  refused({ iceServers: Array(iceBounds.servers + 1).fill(server) }, /there are 9 ICE servers, need at most 8/);
  refused({ iceTransportPolicy: "MARK" }, /neither all nor relay/);
  const one = (change: object) => ({ iceServers: [{ ...server, ...change }] });
  refused(one({ urls: [] }), /0 URLs, need 1 to 4/);
  refused(one({ urls: Array(5).fill("stun:h") }), /5 URLs, need 1 to 4/);
  refused(one({ urls: "http://MARK" }), /URL is none; use stun:HOST:PORT/);
  refused(one({ urls: { length: 1 } }), /URL is none/);
  refused(one({ username: undefined }), /has no username/);
  refused(one({ credential: undefined }), /has no credential/);
  for (const text of ["", "MARK\n", "M\u00e4RK", "x".repeat(513), 7]) {
    refused(one({ username: text }), /username needs 1 to 512 characters of ASCII/);
    refused(one({ credential: text }), /credential needs 1 to 512 characters of ASCII/);
  }
  refused({ iceServers: [7] }, /no object/);
});

test("a plan carries servers, is another plan with others, and is shown without names and passwords", () => {
  const plan = { layout: "1d", dims: [2], program: "train", options: "{}", about: "trains" };
  const ice = {
    iceServers: [{ urls: ["turn:h:3478"], username: "ada", credential: hidden }],
    iceTransportPolicy: "relay",
  };
  const parsed = parsePlan({ ...plan, ice });
  equal(parsed, { ...plan, ice });
  is(samePlan(parsed, parsePlan({ ...plan, ice })), true);
  is(samePlan(parsed, parsePlan(plan)), false);
  is(planLines(parsed).at(-1), "ice      turn:h:3478, by relays alone");
  is(/ada|horse/.test(planLines(parsed).join("\n")), false);
  const error = caught(() => parsePlan({ ...plan, ice: { iceServers: [{ urls: "MARK" }] } }));
  instance(error, ProtocolError);
  match(error.message, /^ice cannot be: an ICE server's URL is none/);
});

test("--ice takes STUN and TURN servers, their password from the environment or, before it, a file", async () => {
  is(await iceOf({}), undefined);
  equal(await iceOf({ ice: ["stun:h:3478"] }), { iceServers: [{ urls: ["stun:h:3478"] }] });
  process.env[variable] = hidden;
  const flags: IceFlags = { ice: ["stun:h", "turn:1700%3Aada@[::1]:3478"], icePolicy: "relay" };
  const turn = { urls: ["turn:[::1]:3478"], username: "1700:ada", credential: hidden };
  equal(await iceOf(flags), { iceServers: [{ urls: ["stun:h"] }, turn], iceTransportPolicy: "relay" });
  const folder = mkdtempSync(join(tmpdir(), "shardgrad-ice-"));
  try {
    const file = join(folder, "password");
    writeFileSync(file, "from a file\r\nanother line\n");
    equal((await iceOf({ ...flags, turnPassword: file }))?.iceServers?.[1].credential, "from a file");
    writeFileSync(file, "\n");
    await refused({ ...flags, turnPassword: file }, /password: its first line is empty, need TURN's password/);
    await refused({ ...flags, turnPassword: join(folder, "none") }, /there is no such file; need TURN's password/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("flags that cannot be are refused in a sentence that shows no password", async () => {
  await refused({ ice: ["h:3478"] }, /got --ice h:3478, need stun:HOST:PORT or turn:NAME@HOST:PORT/);
  await refused({ ice: [""] }, /got --ice "", need/);
  await refused(
    { ice: [`turn:ada:${hidden}@h:3478`] },
    /got --ice turn:\.\.\.@h:3478 with a password.*SHARDGRAD_TURN_PASSWORD/,
  );
  await refused({ ice: [`turn:ada:hors@e@h`] }, /got --ice turn:\.\.\.@h with a password/);
  await refused({ ice: ["turn:h:3478"] }, /got --ice turn:h:3478, a TURN server without a name; need/);
  await refused({ ice: ["stun:ada@h"] }, /got --ice stun:ada@h, a STUN server with a name; need/);
  await refused({ ice: ["turn:a%ZZ@h"] }, /whose name is not encoded as in URLs/);
  await refused(
    { ice: ["turn:ada@h"] },
    /turn:h wants a password: put it into SHARDGRAD_TURN_PASSWORD, or into a file/,
  );
  await refused({ ice: Array(9).fill("stun:h") }, /got --ice 9 times, need at most 8 servers/);
  await refused({ ice: ["stun:h"], turnPassword: "file" }, /got --turn-password and no TURN server; add --ice turn:/);
  process.env[variable] = "hors\u00e9";
  await refused({ ice: ["turn:ada@h"] }, /got --ice turn:h: an ICE server's credential needs 1 to 512 characters/);
  throws(
    () => requireRelay({ iceTransportPolicy: "relay", iceServers: [{ urls: "stun:h" }] }),
    /--ice-policy relay and no TURN/,
  );
  requireRelay({ iceTransportPolicy: "relay", iceServers: [{ urls: ["turn:h"] }] });
  requireRelay(undefined);
});

async function refused(flags: IceFlags, pattern: RegExp): Promise<void> {
  try {
    await iceOf(flags);
  } catch (error) {
    instance(error, UserError);
    match((error as Error).message, pattern);
    is(/hors/.test((error as Error).message), false, (error as Error).message);
    return;
  }
  unreachable();
}

function caught(work: () => unknown): Error {
  try {
    work();
  } catch (error) {
    return error as Error;
  }
  throw new Error("nothing was refused");
}

test.run();
