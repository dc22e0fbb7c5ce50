// `serve` and `join` in processes of their own, with a program that says hello over the room's signals. Started with ROOM_COMMAND, this file
// is that command line.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { Command } from "commander";
import { test } from "uvu";
import { equal, is, match, ok } from "uvu/assert";
import { UserError } from "../../src/backend/errors.ts";
import { addJoin, type TakePart } from "../../src/cli/join.ts";
import { addServe } from "../../src/cli/serve.ts";
import { joinLink, parseLink } from "../../src/cluster/rendezvous/link.ts";
import { CommunicationError } from "../../src/comm/link.ts";
import { secret } from "./rendezvous-bench.ts";

const about = "says hello, for a second";

/** Each rank greets each other, and is done when all have greeted it. */
const takePart: TakePart = async ({ start, output, signal }) => {
  const { rank, size, signalling } = start;
  if (process.env.ROOM_FAILS) throw new UserError("this rank cannot go on");
  const greeted = new Set<number>();
  await new Promise<void>((resolve, reject) => {
    signal.addEventListener("abort", () => resolve());
    const over = () => {
      const { message } = start.over.reason;
      reject(new CommunicationError(message, { rank: Number(/\d+/.exec(message)) }));
    };
    start.over.addEventListener("abort", over);
    if (start.over.aborted) over();
    signalling.listen((from, data) => {
      output.event({ event: "hello", from, data });
      greeted.add(from);
      if (greeted.size === size - 1) resolve();
    });
    for (let to = 0; to < size; to++) if (to !== rank) signalling.send(to, `hello from ${rank}`);
  });
};

async function main(): Promise<void> {
  const program = new Command("shardgrad");
  addServe(program, async () => ({ program: "hello", options: '{"times":1}', about }));
  addJoin(program, takePart);
  try {
    await program.parseAsync();
  } catch (error) {
    process.stderr.write(`error: ${(error as Error).message}\n`);
    process.exitCode = error instanceof UserError ? 2 : 1;
  }
}

interface Started {
  child: ChildProcess;
  out: { text: string; err: string };
  ended: Promise<number | null>;
}

/** No command here takes so long on a busy machine; one that waits for what never comes is ended, with what it said. */
const longestMs = 120_000;

function shardgrad(args: string[], env: Record<string, string> = {}): Started {
  const child = spawn(process.execPath, [process.argv[1], ...args], {
    env: { ...process.env, ...env, ROOM_COMMAND: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const out = { text: "", err: "" };
  child.stdout.on("data", (piece) => (out.text += piece));
  child.stderr.on("data", (piece) => (out.err += piece));
  const timer = setTimeout(() => {
    out.err += `ended by the test: it still ran after ${longestMs / 1000} s\n`;
    child.kill("SIGKILL");
  }, longestMs);
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  void ended.then(() => clearTimeout(timer));
  return { child, out, ended };
}

async function says({ out, ended }: Started, pattern: RegExp): Promise<RegExpExecArray> {
  let over = false;
  void ended.then(() => (over = true));
  for (;;) {
    const found = pattern.exec(out.text);
    if (found) return found;
    ok(!over, `ended without ${pattern}:\n${out.text}${out.err}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A room that is served until `work` has ended. */
async function serving(args: string[], work: (link: string, server: Started) => Promise<void>): Promise<void> {
  const server = shardgrad(["serve", "--host", "127.0.0.1", "--port", "0", ...args]);
  try {
    const [, link] = await says(server, /^join with {2}(\S+)$/m);
    await work(link, server);
    server.child.kill("SIGINT");
    is(await server.ended, 0, server.out.err);
  } finally {
    server.child.kill("SIGKILL");
  }
}

const member = (link: string, name: string, env?: Record<string, string>) =>
  shardgrad(["join", link, "--name", name, "--yes", "--backend", "cpu", "--threads", "1", "--json"], env);

/** A way to a room on which word of the first start is late: it comes together with word of that run's end. */
async function withLateStart(link: string, work: (link: string) => Promise<void>): Promise<void> {
  const { url, secret: given } = parseLink(link);
  const { hostname, port } = new URL(url);
  const server = createServer((member) => {
    const wire = connect(Number(port), hostname);
    member.pipe(wire);
    let held = Buffer.alloc(0);
    let passed = false;
    wire.on("data", (piece) => {
      held = Buffer.concat([held, piece]);
      if (!passed && held.includes('"kind":"start"') && !held.includes('"kind":"over"')) return;
      passed ||= held.includes('"kind":"over"');
      member.write(held);
      held = Buffer.alloc(0);
    });
    wire.on("close", () => member.destroy());
    member.on("close", () => wire.destroy());
    for (const socket of [wire, member]) socket.on("error", () => {});
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const here = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  try {
    await work(joinLink({ url: here, secret: given }));
  } finally {
    server.close();
  }
}

const events = ({ out }: Started, kind: string) =>
  out.text
    .trimEnd()
    .split("\n")
    .map((line): Record<string, unknown> => JSON.parse(line))
    .filter(({ event }) => event === kind);

test("serve prints a link, by which three terminals join, start together, and end; serve tells who is there", () =>
  serving(["--mesh", "3"], async (link, server) => {
    await says(server, /^program {2}hello\nmesh {5}1d on 3 ranks\noptions {2}\{"times":1\}$/m);
    match(server.out.text, /says hello, for a second/);
    const members = ["Ada", "Ben", "Cleo"].map((name) => member(link, name));
    equal(await Promise.all(members.map(({ ended }) => ended)), [0, 0, 0], members.map(({ out }) => out.err).join(""));
    equal(members.map((each) => events(each, "start")[0].rank).sort(), [0, 1, 2]);
    for (const each of members) {
      const { rank } = events(each, "start")[0];
      const hellos = events(each, "hello").map(({ data }) => data);
      equal(
        hellos.sort(),
        [0, 1, 2].filter((other) => other !== rank).map((other) => `hello from ${other}`),
      );
    }
    await says(server, /^3 of 3 ranks are there: .*Ada \(.+\)/m);
    await says(server, /^0 of 3 ranks are there$/m);
    match(server.out.text, /^the run has begun on 3 ranks\n(.*\n)*?the run has ended, [\d.:]+( s)? after it began$/m);
    is(server.out.text.match(/the run has begun/g)?.length, 1);
    const { secret: given } = parseLink(link);
    for (const { out } of members) is(`${out.text}${out.err}`.includes(given), false, "nobody prints the secret");
  }));

async function startsAgain(server: Started, { link, steadyLink }: { link: string; steadyLink: string }): Promise<void> {
  const steady = member(steadyLink, "steady");
  const failing = member(link, "failing", { ROOM_FAILS: "1" });
  is(await failing.ended, 2, failing.out.err);
  match(failing.out.err, /error: this rank cannot go on/);
  const again = member(link, "again");
  equal(await Promise.all([steady.ended, again.ended]), [0, 0], steady.out.err + again.out.err);
  match(steady.out.err, /the run has ended: rank \d: this rank cannot go on/);
  const [first, second] = events(steady, "start").map(({ generation }) => Number(generation));
  ok(second > first);
  equal(
    events(again, "start").map(({ generation }) => generation),
    [second],
  );
  await says(server, /(the run has begun on 2 ranks\n(.*\n)*?the run has ended, (.*\n)*?){2}/);
}

test("when a rank fails, the others wait for the next start and are started with who comes then", () =>
  serving(["--mesh", "2"], (link, server) => startsAgain(server, { link, steadyLink: link })));

test("a rank that hears of its start and of the run's end at once waits for the next start too", () =>
  serving(["--mesh", "2"], (link, server) =>
    withLateStart(link, (steadyLink) => startsAgain(server, { link, steadyLink })),
  ));

test("Ctrl-C leaves the room, and a room that ends is told in a sentence", () =>
  serving(["--mesh", "2"], async (link, server) => {
    const ada = member(link, "Ada");
    await says(server, /^1 of 2 ranks are there/m);
    ada.child.kill("SIGINT");
    is(await ada.ended, 0);
    await says(server, /^0 of 2 ranks are there/m);
    match(ada.out.err, /left the room/);
  }));

test("links, ports, and rooms that cannot be are refused in a sentence, without the secret", async () => {
  const refused = async (args: string[], code: number, pattern: RegExp, env: Record<string, string> = {}) => {
    const run = shardgrad(args, env);
    is(await run.ended, code, run.out.err);
    match(run.out.err, pattern);
    is(/ {4}at /.test(run.out.err), false, "no stack trace");
    is(`${run.out.text}${run.out.err}`.includes(secret), false);
  };
  const cpu = ["--backend", "cpu", "--threads", "1"];
  await refused(["join", `http://127.0.0.1:9#${secret}`], 2, /nobody can be asked here.* add --yes/);
  await refused(["join", "http://127.0.0.1:9/"], 2, /the link has no secret; use the whole link/);
  await refused(["join", `http://127.0.0.1:9/#${secret}`, "--yes", ...cpu], 1, /no room answers at 127.0.0.1:9/);
  await refused(
    ["serve", "--port", "65536", "--mesh", "2"],
    2,
    /got --port 65536, need 0 to 65535; the default is 8642/,
  );
  await refused(
    ["serve", "--port", "0", "--mesh", "65"],
    2,
    /the plan cannot be: extent is no whole number from 1 to 64/,
  );
  await refused(["serve", "--port", "0", "--public", "ftp://x"], 2, /the public address needs the form https:\/\/HOST/);
  await refused(["serve", "--port", "0"], 2, /the secret has 3 characters, need 16 to 128/, {
    SHARDGRAD_SECRET: "abc",
  });
});

if (process.env.ROOM_COMMAND) await main();
else test.run();
