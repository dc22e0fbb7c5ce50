import { test } from "uvu";
import { equal, is, match, ok } from "uvu/assert";
import { command, events, refuses } from "./command.ts";

const cpu = ["matmul", "--backend", "cpu"];

test("sizes, meshes and layouts that cannot be are refused in a sentence", async () => {
  await refuses([...cpu, "--m", "0"], /got --m 0, need a whole number from 1 to 2147483647; the default is 512/);
  await refuses([...cpu, "--k", "1e3"], /got --k 1e3, need a whole number/);
  await refuses([...cpu, "--n", ""], /got --n "", need a whole number/);
  await refuses([...cpu, "--repeats", "-1"], /got --repeats -1, need a whole number/);
  await refuses([...cpu, "--mesh", "2x"], /mesh 2x: need P, q x q or q x q x d/);
  await refuses([...cpu, "--mesh", "2x3"], /mesh 2x3: rows and columns .* use 2x2 or 3x3/);
  await refuses([...cpu, "--layout", "2.5d"], /layout 2\.5d needs a mesh .* --mesh 2x2x2/);
  await refuses([...cpu, "--layout", "2d", "--mesh", "4"], /mesh 4: layout 2d needs a mesh of 2 axes/);
  await refuses(
    [...cpu, "--layout", "1d-sp", "--mesh", "4"],
    /'1d-sp' is invalid. Allowed choices are serial, 1d, 2d, 2\.5d/,
  );
  await refuses([...cpu, "--form", "BA"], /'BA' is invalid.*AB, ABT, ATB/);
});

test("products that no device holds are refused before anything is allocated", async () => {
  const run = async (...args: string[]) => {
    const { code, stderr, stdout } = await command([...cpu, "--json", ...args]);
    equal({ code, stdout }, { code: 2, stdout: "" });
    return stderr;
  };
  match(
    await run("--m", "2000000000", "--mesh", "2x2"),
    /error: 2000000000 x 512 times .* on 4 ranks needs a buffer of/,
  );
  match(
    await run("--m", "999999", "--n", "999999", "--k", "9", "--mesh", "64x64"),
    /MiB of this machine's memory, need/,
  );
});

for (const [form, mesh, layout] of [
  ["AB", "3", "1d"],
  ["ABT", "2x2", "2d"],
  ["ATB", "2x2x3", "2.5d"],
] as const)
  test(`${form} on ${layout} ${mesh}, sizes that do not divide: words and messages equal the closed form, errors within the bound`, async () => {
    const sizes = ["--m", "45", "--n", "31", "--k", "28", "--repeats", "2"];
    const { code, stdout, stderr } = await command([...cpu, ...sizes, "--form", form, "--mesh", mesh, "--json"]);
    is(code, 0, stderr);
    const [event, ...others] = events(stdout);
    is(others.length, 0);
    equal(event.mesh, { layout, dims: mesh.split("x").map(Number) });
    const ranks = event.ranks as Record<
      "wordsReceived" | "closedFormWords" | "messages" | "closedFormMessages",
      number
    >[];
    is(ranks.length, { "3": 3, "2x2": 4, "2x2x3": 12 }[mesh]);
    for (const { wordsReceived, closedFormWords, messages, closedFormMessages } of ranks) {
      is(wordsReceived, closedFormWords);
      is(messages, closedFormMessages);
      ok(wordsReceived > 0 && messages > 0);
    }
    is(event.equal, true);
    ok((event.score as number) >= 1, `${event.score}`);
    const error = event.error as { worst: number; checked: number };
    is(error.checked, 45 * 31);
    // f32 is not f64: an error of exactly nothing would mean that nothing was compared.
    ok(error.worst > 0 && error.worst <= 1, `${error.worst}`);
    const { mesh: timed, serial } = event.time as Record<string, { ms: number[]; gflops: number }>;
    for (const { ms, gflops } of [timed, serial]) {
      is(ms.length, 2);
      ok(gflops > 0);
    }
  });

test("one rank is told as such, and people get a table", async () => {
  const { code, stdout, stderr } = await command([...cpu, "--m", "30", "--n", "20", "--k", "10", "--mesh", "2x2"]);
  equal({ code, stderr }, { code: 0, stderr: "" });
  match(stdout, /^AB: \[30, 10\] \[10, 20\] on 2d 2x2$/m);
  // q - 1 = 1 block of A [15, 5] and one of B [5, 10].
  match(stdout, /^ *0-3 +125 +125 +equal +2$/m);
  match(stdout, /^ *all +500 +500 +equal +8$/m);
  const alone = await command([...cpu, "--m", "30"]);
  match(alone.stdout, /lower bound {2}0 words: one rank has nothing to receive/);
});

test.run();
