// Hardware profiles: those of the package, and what is refused.

import { test } from "uvu";
import { equal, is, ok } from "uvu/assert";
import { kernelSeconds } from "../../src/plan/machine.ts";
import { parsePart, parseProfile } from "../../src/plan/profile.ts";
import { profileFiles } from "../../src/plan/profile-files.ts";
import { networkNames, profileNamed, profileNames } from "../../src/plan/profiles.ts";
import { countOrigins, visitQuantities } from "../../src/plan/quantity.ts";
import { changed, value, whole } from "./own-profile.ts";
import { refuses } from "./refusal.ts";

const refusesAt = (path: string, to: unknown, pattern: RegExp) => {
  refuses(() => parseProfile(changed(path, to)), pattern);
};

test("the package's profiles: every device with every network is whole, and who measured is named", () => {
  for (const device of profileNames)
    for (const network of [undefined, ...networkNames]) {
      const profile = profileNamed(device, network);
      equal(profile.network, parsePart(profileFiles[network ?? device]).network);
      const { datasheet, measured } = countOrigins(profile);
      ok(datasheet + measured === 0 || profile.sources.length > 0, profile.name);
    }
  equal(networkNames.slice(0, profileNames.length), profileNames);
});

test("f16 products on A100 and H100 run at the rates published for their sizes", () => {
  const seconds = (name: string, [m, n, k]: readonly number[]) =>
    kernelSeconds(
      { kernel: "matmul", flops: 2 * m * n * k, bytes: 0, product: { batch: 1, m, n, k, dtype: "f16" } },
      profileNamed(name).device,
    );
  for (const [name, sizes, published] of [
    ["a100", [6912, 16384, 2048], 267.9e12],
    ["meluxina", [6912, 16384, 2048], 267.9e12],
    ["h100", [6144, 17920, 2816], 792.1e12],
    ["h200", [6144, 17920, 2816], 792.1e12],
  ] as const) {
    const [m, n, k] = sizes;
    const got = (2 * m * n * k) / seconds(name, sizes);
    ok(Math.abs(got / published - 1) < 0.015, `${name}: ${got}, published ${published}`);
  }
});

test("a device and a network by name: the other's numbers, and both's sources", () => {
  const { overlap: _, ...rest } = whole();
  const mine = parseProfile({ ...rest, device: "m1", network: "homes" });
  const [m1, homes] = [profileNamed("m1"), parsePart(profileFiles.homes)];
  equal([mine.device, mine.network, mine.overlap], [m1.device, homes.network, m1.overlap]);
  ok([...homes.sources, "a letter"].every((source) => mine.sources.includes(source)));
  is(parseProfile({ ...whole(), device: "m1", overlap: false }).overlap, false);
  const both = profileNamed("m1", "homes");
  equal([both.name, both.network], ["m1, homes", homes.network]);
});

test("names that none has are refused with the nearest", () => {
  refuses(
    () => profileNamed("a10"),
    /there is no profile "a10" with a device; did you mean a100\? There are a100, .*or give a file's path$/,
  );
  refuses(
    () => profileNamed("lan"),
    /profile lan is a network and has no device; it goes to --network, .*devices are a100, meluxina/,
  );
  refuses(() => profileNamed("a100", "wfi"), /there is no profile "wfi" with a network; did you mean wifi\?/);
  refuses(() => profileNamed("constructor"), /there is no profile "constructor"/);
  refuses(() => profileNamed("a100", "__proto__"), /there is no profile "__proto__" with a network/);
  refuses(
    () => parseProfile({ ...whole(), device: "m3" }),
    /there is no profile "m3" with a device; did you mean m1\?/,
  );
});

test("half a profile is refused with what the other half may be", () => {
  const [{ device, overlap, ...network }, { network: _, ...alone }] = [whole(), whole()];
  refuses(
    () => parseProfile(network),
    /profile mine: got a network and no device; use a device's profile, and this one as its/,
  );
  refuses(() => parseProfile(alone), /profile mine: got a device and no network; use .* one of a100, .*, lan,/);
  ok(parsePart(network).network && parsePart(alone).device);
  refuses(() => parsePart({ ...network, overlap }), /got overlap false, need no such field: it is a device that/);
  refuses(
    () => parsePart({ name: "x", description: "y", sources: [] }),
    /got device nothing, need a device, a network, or both/,
  );
  refuses(() => parseProfile([device]), /profile: got a list, need a JSON object/);
});

test("numbers that are missing, misspelt, negative, absurd or no numbers are refused by name", () => {
  refusesAt(
    "device.memoryBytes",
    undefined,
    /profile device: got memoryBytes nothing, need \{ "value": a number from 1048576/,
  );
  refusesAt(
    "device.memoryBytes",
    80e9,
    /profile device: got memoryBytes 80000000000, need \{ "value": a number .*"origin": "datasheet" or/,
  );
  refusesAt(
    "device.memoryBytes.value",
    -1,
    /profile device memoryBytes: got value -1, need a number from 1048576 to 1125899906842624/,
  );
  refusesAt(
    "device.flopsPerSecond.value",
    1e30,
    /device flopsPerSecond: got value 1e\+30, need a number from 1000000 to 1000000000000000000/,
  );
  refusesAt("device.bytesPerSecond.value", "2e12", /device bytesPerSecond: got value "2e12", need a number/);
  refusesAt("device.launchSeconds.value", Number.NaN, /launchSeconds: got value NaN, need a number from 0 to 1$/);
  refusesAt("device.launchSeconds.value", null, /launchSeconds: got value null, need a number/);
  refusesAt(
    "network.0.latencySeconds.value",
    Number.POSITIVE_INFINITY,
    /network level 0 latencySeconds: got value Infinity, need a number from 0 to 60/,
  );
  refusesAt("device.products.f16", undefined, /profile device products f16: got nothing, need a JSON object/);
  refusesAt("device.products.f32.halfQ", value(3), /products f32: unknown field "halfQ"; did you mean "halfM"\?/);
  refusesAt(
    "device.products.f32.efficiency.value",
    1.5,
    /products f32 efficiency: got value 1.5, need a number from 0.0001 to 1/,
  );
  refusesAt(
    "device.launchSecond",
    value(0),
    /profile device: unknown field "launchSecond"; did you mean "launchSeconds"\?/,
  );
  refusesAt(
    "device.kernels.atention",
    value(1e9),
    /device kernels: unknown field "atention"; did you mean "attention"\?/,
  );
  refusesAt("device.kernels.adamw.value", 0, /device kernels adamw: got value 0, need a number from 1000000/);
  refusesAt("device.kernels", null, /device kernels: got null, need a JSON object/);
  refusesAt(
    "device.memoryBytes.origin",
    "guess",
    /memoryBytes: got origin "guess", need "datasheet" or "measured" or "estimate"/,
  );
  refusesAt("device.memoryBytes.origin", "mesured", /did you mean "measured"\?/);
  refusesAt("device.memoryBytes.unit", "GB", /memoryBytes: unknown field "unit"/);
  refusesAt("device.memoryBytes.note", 7, /memoryBytes: got note 7, need a text, or no such field/);
  refusesAt(
    "network.0.bytesPerSecond.value",
    0,
    /network level 0 bytesPerSecond: got value 0, need a number from 1000 to/,
  );
  refusesAt("network.1.uplinkBytesPerSecond", null, /network level 1: got uplinkBytesPerSecond null, need \{ "value"/);
  refusesAt("overlap", "yes", /profile: got overlap "yes", need true or false/);
  refusesAt("overlap", undefined, /profile: got overlap nothing, need true or false/);
  refusesAt("name", "", /profile: got name "", need what it is called/);
  refusesAt("description", undefined, /profile: got description nothing, need a sentence/);
  refusesAt("sources", "a letter", /profile: got sources "a letter", need a list of texts/);
  refusesAt("sources", [1], /profile: got sources a list, need a list of texts/);
  refusesAt("$schema", 1, /profile: got \$schema 1, need the schema's address/);
  refusesAt("devices", 8, /profile: unknown field "devices"; did you mean "device"\?/);
});

test("a number read from JSON beyond what a double holds is refused, not infinite", () => {
  const text = JSON.stringify(whole()).replace('"value":5000000000', '"value":5e999');
  refuses(() => parseProfile(JSON.parse(text)), /memoryBytes: got value Infinity, need a number/);
});

test("levels that do not nest are refused", () => {
  refusesAt("network", [], /profile: got network of no level, need a list of levels from the nearest/);
  refusesAt("network", {}, /profile: got network an object, need a list of levels/);
  refusesAt(
    "network.1.devices",
    3,
    /network level 1: got devices 3, need a larger multiple of the 3 that a unit of the level before joins/,
  );
  refusesAt("network.1.devices", 7, /network level 1: got devices 7, need a larger multiple of the 3/);
  refusesAt("network.0.devices", 12, /network level 1: got devices 6, need a larger multiple of the 12/);
  refusesAt("network.0.devices", 1, /network level 0: got devices 1, need at least 2/);
  refusesAt("network.0.devices", 2.5, /network level 0: got devices 2.5, need a whole number/);
  refusesAt(
    "network.0.devices",
    2 ** 31,
    /network level 0: got devices 2147483648, need a whole number from 1 to 2147483647/,
  );
  refusesAt("network.0.devices", undefined, /network level 0: got devices nothing, need a whole number/);
  refusesAt(
    "network.2.devices",
    12,
    /network level 2: got devices 12, need no such field: the last level joins any number/,
  );
  refusesAt(
    "network.1.uplinkBytesPerSecond",
    undefined,
    /network level 1: got uplinkBytesPerSecond nothing, need the other way/,
  );
  refusesAt("network.1.name", " ", /network level 1: got name " ", need what this level is called/);
});

test("origins are counted, and numbers have their path", () => {
  const profile = parseProfile(whole());
  const paths: string[] = [];
  visitQuantities(profile, (path) => paths.push(path));
  is(paths.length, 4 + 10 + 2 + 6 + 3);
  ok(paths.includes("device.products.f16.halfK") && paths.includes("network.1.downlinkBytesPerSecond"));
  equal(countOrigins(profile), { datasheet: 0, measured: 0, estimate: paths.length });
});

test.run();
