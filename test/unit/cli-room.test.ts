// Rooms that the built command cannot open or reach.

import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "uvu";
import { equal, is, match } from "uvu/assert";
import { command, folder } from "./command.ts";

/** A port at which nobody listens. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test("a room on a NATS server that is not there: a sentence, and no stack", async () => {
  writeFileSync(join(folder, "text.txt"), "The quick brown fox jumps over the lazy dog. ".repeat(40));
  const url = `nats://127.0.0.1:${await closedPort()}/here`;
  const { code, stdout, stderr } = await command(["serve", "--rendezvous", url, "--data", "text.txt", "--mesh", "2"]);
  match(
    stderr,
    /^error: no NATS server lets this member in at 127\.0\.0\.1:\d+: connection refused; see that one runs/,
  );
  equal({ code, stdout, lines: stderr.trimEnd().split("\n").length }, { code: 1, stdout: "", lines: 1 });
  is(/ {4}at /.test(stderr), false);
});

test.run();
