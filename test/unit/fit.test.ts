// Times that rates cannot be taken from as they are.

import { test } from "uvu";
import { equal, is, match, not, ok } from "uvu/assert";
import { UserError } from "../../src/backend/errors.ts";
import { MetaBackend } from "../../src/backend/meta/backend.ts";
import { calibrate } from "../../src/plan/calibrate.ts";
import { networkFrom } from "../../src/plan/fit.ts";
import { parseProfile } from "../../src/plan/profile.ts";
import { clampQuantities } from "../../src/plan/quantity.ts";
import { changed, value, whole } from "./own-profile.ts";

test("a long message that takes no longer than a short one: an estimate from all of its time", () => {
  const { latencySeconds, bytesPerSecond } = networkFrom("two", { short: [4e-3], long: [3e-3], longBytes: 3e6 });
  equal(latencySeconds, { value: 2e-3, origin: "measured" });
  is(bytesPerSecond.value, 2e9);
  is(bytesPerSecond.origin, "estimate");
  match(bytesPerSecond.note ?? "", /no longer than a short one/);
});

test("numbers out of bounds are put at the bound with a note, and make a profile that reads; others stay", () => {
  const cases: [path: string, was: number, is: number][] = [
    ["network.2.bytesPerSecond", 4e15, 1e15],
    ["network.0.mediumBytesPerSecond", 3, 1e3],
    ["device.products.f32.halfM", 1e7, 1e5],
    ["device.products.f16.flopsPerSecond", Number.POSITIVE_INFINITY, 1e18],
    ["device.kernels.adamw", 12, 1e6],
    ["device.launchSeconds", -1e-9, 0],
  ];
  for (const [path, was, bound] of cases) {
    const profile = changed(path, value(was));
    not.equal(profile, whole());
    clampQuantities(profile);
    equal(profile, changed(path, { ...value(bound), note: `${was} came out, which is out of bounds` }), path);
    parseProfile(profile);
  }
  const good = whole();
  clampQuantities(good);
  equal(good, whole());
});

test("a device that does not tell when kernels run is not measured, and the refusal says what is", async () => {
  const error = await calibrate(new MetaBackend(), { name: "here", tell: () => {} }).catch((error: unknown) => error);
  ok(error instanceof UserError);
  match(error.message, /does not tell when kernels run, .*; use --backend cpu$/);
});

test.run();
