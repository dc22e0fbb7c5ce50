// The schema of hardware profiles says what the parser says.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { test } from "uvu";
import { equal, is, ok } from "uvu/assert";
import { root } from "../../scripts/project.mjs";
import { kernelNames } from "../../src/backend/work.ts";
import { namesWith, parsePart } from "../../src/plan/profile.ts";
import { profileFiles } from "../../src/plan/profile-files.ts";
import { bounds } from "../../src/plan/quantity.ts";
import { changed, type Json, value, whole } from "./own-profile.ts";
import { unlessRefused } from "./refusal.ts";

const read = (path: string): Json => JSON.parse(readFileSync(join(root, "profiles", path), "utf8"));
const schema = read("schema.json") as { $defs: Record<string, { enum?: string[]; properties: Json }> };
const valid = new Ajv2020({ strict: false }).compile(schema);

test("the package's files: each has a name that is its file's, passes the schema, and is registered", () => {
  const files = [...readdirSync(join(root, "profiles")), ...readdirSync(join(root, "profiles/networks"))]
    .filter((file) => file.endsWith(".json") && file !== "schema.json")
    .map((file) => file.slice(0, -5));
  equal(files.sort(), Object.keys(profileFiles).sort());
  for (const [name, json] of Object.entries(profileFiles)) {
    is(parsePart(json).name, name);
    ok(valid(json), `${name}: ${JSON.stringify(valid.errors)}`);
  }
});

test("the schema's names and bounds are the parser's", () => {
  equal(schema.$defs.deviceName.enum, namesWith("device"));
  equal(schema.$defs.networkName.enum, namesWith("network"));
  const kernels = schema.$defs.device.properties.kernels as { propertyNames: { enum: string[] } };
  equal(kernels.propertyNames.enum.toSorted(), kernelNames.toSorted());
  let seen = 0;
  const look = (json: unknown, name: string): void => {
    if (typeof json !== "object" || json === null) return;
    const { $ref, properties } = json as { $ref?: string; properties?: { value?: Json } };
    if ($ref === "#/$defs/quantity" && name in bounds) {
      seen++;
      const [minimum, maximum] = bounds[name as keyof typeof bounds];
      equal(properties?.value, { minimum, maximum }, name);
    } else for (const [inner, inside] of Object.entries(json)) look(inside, inner);
  };
  look(schema.$defs, "");
  is(seen, 17);
});

test("parser and schema accept and refuse the same, with one thing of a profile changed at random", () => {
  const paths: string[] = [];
  const walk = (json: unknown, path: string): void => {
    if (path !== "") paths.push(path);
    if (typeof json === "object" && json !== null)
      for (const [name, inside] of Object.entries(json)) walk(inside, path === "" ? name : `${path}.${name}`);
  };
  walk(whole(), "");
  const odd = [
    undefined,
    null,
    "",
    "m1",
    "lan",
    "text",
    true,
    false,
    -1,
    0,
    1,
    2.5,
    1e4,
    1e12,
    1e30,
    1e-9,
    [],
    {},
    ["a"],
  ];
  const anything = fc.oneof(fc.constantFrom<unknown>(...odd, value(1), value(1e7)), fc.double());
  const where = fc.oneof(
    fc.constantFrom(...paths),
    fc.constantFrom(...paths.map((path) => path.replace(/[^.]+$/, "other"))),
  );
  // What a schema cannot say: that counts of devices nest, and that it is the last level that has none.
  const sayable = where.filter((path) => !path.endsWith(".devices") && !/^network\.\w+$/.test(path));
  let accepted = 0;
  let refused = 0;
  fc.assert(
    fc.property(sayable, anything, (path, to) => {
      const json = changed(path, to);
      const parsed = unlessRefused(() => parsePart(json)) !== undefined;
      is(valid(json), parsed, `${path} = ${JSON.stringify(to)}: ${JSON.stringify(valid.errors)}`);
      if (parsed) accepted++;
      else refused++;
    }),
    { numRuns: 3000 },
  );
  ok(accepted > 100 && refused > 1000, `${accepted} accepted, ${refused} refused`);
});

test.run();
