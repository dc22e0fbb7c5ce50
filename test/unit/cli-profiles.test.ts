// Profiles on the command line: what there is, where its numbers are from, and a device of one with the network of another.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import { equal, is, match, ok } from "uvu/assert";
import { root } from "../../scripts/project.mjs";
import { networkNames, profileNames } from "../../src/plan/profiles.ts";
import { command, events, folder, refuses } from "./command.ts";

const file = (name: string, json: object) => {
  writeFileSync(join(folder, name), JSON.stringify(json));
  return `./${name}`;
};
const about = { name: "mine", description: "of my own", sources: [] };
const tiny = ["simulate", "--layers", "1", "--heads", "4", "--width", "16", "--batch", "4", "--mesh", "2x2", "--json"];
const simulated = async (...args: string[]) => {
  const { code, stdout, stderr } = await command([...tiny, ...args]);
  is(code, 0, stderr);
  return { ...events(stdout).at(-1), stderr } as { profile: string; seconds: number; stderr: string };
};

test("profiles: one line each, and one event each", async () => {
  const { code, stdout } = await command(["profiles"]);
  is(code, 0);
  const names = stdout
    .trimEnd()
    .split("\n")
    .map((line) => line.split(" ")[0]);
  equal(names, networkNames);
  match(stdout, /\nwifi +network: one Wi-Fi 6 channel/);
  const all = events((await command(["profiles", "--json"])).stdout);
  equal(
    all.map(({ name, kind }) => [name, kind]),
    networkNames.map((name) => [name, profileNames.includes(name) ? "device" : "network"]),
  );
});

test("profiles NAME: every number with where it is from; with --json the file's", async () => {
  const { stdout } = await command(["profiles", "h200"]);
  match(stdout, /\n {2}network\.0\.bytesPerSecond +3\.6761e11 {2}measured: all-reduce without/);
  match(stdout, /\n {2}device\.memoryBytes +1\.41e11 {2}datasheet\n/);
  match(stdout, /\n {2}network\.1 is InfiniBand, between any number of devices\n/);
  match(stdout, /\n {2}source: NVIDIA H200/);
  const [event] = events((await command(["profiles", "h200", "--json"])).stdout);
  const json = JSON.parse(readFileSync(join(root, "profiles/h200.json"), "utf8"));
  equal(event.device, { ...json.device, kernels: {} });
  equal([event.network, event.sources, event.overlap], [json.network, json.sources, json.overlap]);
  match((await command(["profiles", file("mine.json", { ...about, network: "cable" })])).stdout, /^mine: of my own\n/);
});

test("simulate: a device with another's network, and files that name both", async () => {
  const [lan, home] = [await simulated("--profile", "m1"), await simulated("--profile", "m1", "--network", "home")];
  equal([lan.profile, home.profile], ["m1", "m1, home"]);
  ok(home.seconds > 2 * lan.seconds, `${home.seconds} s, ${lan.seconds} s`);
  match(home.stderr, /^m1, home: Apple M1 .*; between them: each device in a home of its own/);
  const both = file("both.json", { ...about, device: "m1", network: "home" });
  is((await simulated("--profile", both)).seconds, home.seconds);
  const network = file("network.json", { ...about, network: "home" });
  is((await simulated("--profile", "m1", "--network", network)).seconds, home.seconds);
});

test("what is no profile is refused, with its file's name", async () => {
  await refuses(["profiles", "h20"], /no profile "h20" with a network; did you mean h200\?/);
  await refuses([...tiny, "--profile", "wan"], /profile wan is a network and has no device; it goes to --network, /);
  await refuses([...tiny, "--profile", ""], /no profile "" with a device; there are a100,/);
  await refuses([...tiny, "--profile", "xy"], /no profile "xy" with a device; there are a100,/);
  await refuses([...tiny, "--profile", "h20"], /no profile "h20" with a device; did you mean h200\? There are a100,/);
  await refuses([...tiny, "--network", "wann"], /no profile "wann" with a network; did you mean wan\?/);
  await refuses(
    [...tiny, "--profile", "./none.json"],
    /\.\/none\.json: there is no such file; need a hardware profile/,
  );
  const broken = file("broken.json", { ...about, device: { memoryBytes: 16 }, network: "lan", overlap: true });
  await refuses(
    [...tiny, "--profile", broken],
    /\.\/broken\.json: profile device products: got nothing, need a JSON object/,
  );
  const alone = file("alone.json", { ...about, network: "wan" });
  await refuses([...tiny, "--profile", alone], /profile mine: got a network and no device; use a device's profile/);
});

test.run();
