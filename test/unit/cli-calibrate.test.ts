// `calibrate` of the built command, on the cpu backend: what it writes and says, and what it refuses.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import { equal, is, match } from "uvu/assert";
import { command, events, folder, refuses } from "./command.ts";

test("the profile is a file that profiles reads, an event, and a line of rates", async () => {
  const args = ["calibrate", "--backend", "cpu", "--threads", "1", "--name", "here", "--out", "here.json", "--json"];
  const { code, stdout, stderr } = await command(args);
  is(code, 0, stderr);
  const [event, ...more] = events(stdout);
  equal(more, []);
  equal([event.event, event.file], ["calibrated", "here.json"]);
  equal(JSON.parse(readFileSync(join(folder, "here.json"), "utf8")), event.profile);
  match(
    stderr,
    /\nmeasured large products \d+\.\d GFLOP\/s, memory \d+\.\d GB\/s, a kernel \S+ [mu]s to run and \S+ [mu]s to ask for, a message \S+ [mu]s between ranks on the device\n/,
  );
  const shown = await command(["profiles", "./here.json"]);
  is(shown.code, 0, shown.stderr);
  match(
    shown.stdout,
    /device\.products\.f16\.flopsPerSecond .*estimate: as of f32: there is no f16 on this backend to measure/,
  );
});

test("servers that loopback does not use, and no name, are refused before anything is measured", async () => {
  await refuses(
    ["calibrate", "--backend", "cpu", "--ice", "stun:127.0.0.1:3478"],
    /got STUN and TURN servers with --link loopback; they are for --link webrtc/,
  );
  await refuses(["calibrate", "--backend", "cpu", "--name", ""], /got --name "", need what the profile is called/);
});

test.run();
