// Scaling tables: rows are simulate's, the best of a layout is the fastest that fits, what is to stay stays.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { csvText } from "../../src/cli/csv.ts";
import { headWidth, type ModelConfig, parseModelConfig } from "../../src/nn/config.ts";
import { shardedExtents } from "../../src/nn/extents.ts";
import { profileNamed } from "../../src/plan/profiles.ts";
import { parametersOf } from "../../src/plan/record-step.ts";
import { type Growth, type ScaleProblem, scale } from "../../src/plan/scale.ts";
import { command, events, folder, refuses } from "./command.ts";

const model = ["--layers", "1", "--width", "64", "--heads", "8", "--batch", "16", "--context", "16", "--vocab", "100"];

type Row = Record<string, unknown>;
const told = async (args: readonly string[]): Promise<Row[]> => {
  const { code, stdout, stderr } = await command([...args, "--json"]);
  assert.is(code, 0, stderr);
  return events(stdout);
};

test("scale's rows are simulate's, number for number", async () => {
  const rows = (await told(["scale", ...model, "--devices", "8,1,4", "--all"])).filter(
    ({ event }) => event === "scaled",
  );
  assert.equal(
    rows.map(({ layout, dims }) => `${layout} ${(dims as number[]).join("x")}`),
    ["serial 1", "1d 4", "2d 2x2", "1d 8", "2.5d 2x2x2"],
  );
  for (const row of rows) {
    const mesh = row.layout === "serial" ? [] : ["--mesh", (row.dims as number[]).join("x")];
    const [simulated] = await told(["simulate", ...model, ...mesh]);
    const { event: _, ...figures } = simulated;
    assert.is(Object.keys(figures).length > 15, true);
    assert.equal([simulated.arch, simulated.layers, simulated.ffn, simulated.vocab], ["gpt2", 1, 256, 100]);
    for (const [name, value] of Object.entries(figures)) assert.equal(row[name], value, `${row.layout}: ${name}`);
  }
  // The speed-up over the ideal one.
  const [serial, ...others] = rows;
  for (const { seconds, devices, efficiency } of others) {
    const wanted = Number(serial.seconds) / (Number(seconds) * Number(devices));
    assert.ok(Math.abs(Number(efficiency) - wanted) < 1e-12, `${efficiency}, not ${wanted}`);
  }
  assert.is(serial.efficiency, 1);
});

const gpt2 = (heads: number): ModelConfig =>
  parseModelConfig({
    ...{ model_type: "gpt2", vocab_size: 64, n_positions: 8, n_layer: 1, n_embd: 8 * heads, n_head: heads },
  });

const problem = (more: Partial<ScaleProblem>): ScaleProblem => ({
  config: gpt2(8),
  parameters: parametersOf({ batch: 8, context: 8, accumulate: 1, recompute: false, dtype: "f32", wire: "f32" }),
  devices: [16],
  layouts: ["1d", "2d", "2.5d"],
  growth: undefined,
  profile: profileNamed("a100"),
  ...more,
});

async function scaled(more: Partial<ScaleProblem>) {
  const found = [];
  for await (const each of scale(problem(more))) found.push(each);
  return found;
}

test("the best of a layout is the fastest, and one that fits before one that does not", async () => {
  const config = gpt2(16);
  const parameters = { ...problem({}).parameters, batch: 16 };
  const [{ rows }] = await scaled({ config, parameters, devices: [32], layouts: ["2.5d"] });
  assert.is(rows.length, 2);
  const [fast, slow] = rows.toSorted((a, b) => a.seconds - b.seconds);
  assert.equal([fast.best, slow.best], [true, false]);
  const { profile } = problem({});
  const [less, more] = rows.toSorted((a, b) => a.memoryBytes.total - b.memoryBytes.total);
  const between = (less.memoryBytes.total + more.memoryBytes.total) / 2;
  const memoryBytes = { ...profile.device.memoryBytes, value: between };
  const small = { ...profile, device: { ...profile.device, memoryBytes } };
  const [limited] = await scaled({ config, parameters, devices: [32], layouts: ["2.5d"], profile: small });
  for (const { dims, fits, best } of limited.rows) {
    assert.is(fits, `${dims}` === `${less.dims}`);
    assert.is(best, fits);
  }
});

test("a mesh that does not fit is no base of efficiency, and has none", async () => {
  const { profile } = problem({});
  const ample = await scaled({ devices: [1, 4] });
  const held = ample.map(({ rows }) => rows.map(({ memoryBytes }) => memoryBytes.total));
  // Every mesh of 4 devices, and not the one device.
  assert.ok(Math.max(...held[1]) < Math.min(...held[0]));
  const memoryBytes = { ...profile.device.memoryBytes, value: Math.max(...held[1]) };
  const small = { ...profile, device: { ...profile.device, memoryBytes } };
  const [one, four] = await scaled({ devices: [1, 4], profile: small });
  assert.ok(one.rows.length > 0 && one.rows.every(({ fits, efficiency }) => !fits && efficiency === undefined));
  const fastest = Math.max(...four.rows.map(({ mfu }) => mfu));
  for (const { fits, efficiency, mfu } of four.rows) assert.equal([fits, efficiency], [true, mfu / fastest]);
});

test("meshes that are none, and meshes that are not legal, are refused with the reason", async () => {
  const [eight] = await scaled({ config: gpt2(6), devices: [8], layouts: ["1d", "1d-sp", "2d", "2.5d"] });
  assert.equal(
    eight.rows.map(({ layout }) => layout),
    ["2.5d"],
  );
  const why = Object.fromEntries(eight.refused.map((each) => [each.layout, each.why]));
  assert.match(why["1d"], /mesh 8: 6 heads do not divide over 8 ranks/);
  assert.match(why["1d-sp"], /mesh 8: 6 heads/);
  assert.is(why["2d"], "8 devices make no mesh of q x q with q from 2");
  assert.is(eight.refused.length, 3);
});

/** A device's share of the blocks' matrices, of rows of activations times width, and of the blocks' products. */
function shares({ config, batch, devices }: { config: ModelConfig; batch: number; devices: number }) {
  const { width, ffn } = shardedExtents(config);
  const parameters = (4 * width * width + 2 * width * ffn) / devices;
  return { parameters, activations: (batch * width) / devices, work: batch * parameters };
}

const stays: Record<Growth, readonly ("parameters" | "activations" | "work")[]> = {
  batch: ["activations", "work"],
  width: ["parameters", "work"],
  both: ["parameters", "activations"],
};

for (const growth of ["batch", "width", "both"] as const)
  test(`weak scaling by ${growth}: ${stays[growth].join(" and ")} of a device stay where roots are whole`, async () => {
    const found = await scaled({ growth, devices: [4, 16], layouts: ["2d"], config: gpt2(4) });
    const [first, last] = found.map(({ devices, rows: [{ width, heads, batch }] }) => {
      assert.is(width, 8 * heads);
      return shares({ config: gpt2(heads), batch, devices });
    });
    for (const name of ["parameters", "activations", "work"] as const)
      assert.is(first[name] === last[name], stays[growth].includes(name), `${name}: ${first[name]}, ${last[name]}`);
    if (growth === "batch" || growth === "width") {
      const [a, b] = found.map(({ rows: [row] }) => row);
      assert.ok(Math.abs(Number(b.efficiency) - b.mfu / a.mfu) < 1e-12);
    }
  });

test("weak scaling: where roots are not whole every layout stays legal; a llama keeps its shape", async () => {
  const config = parseModelConfig({
    ...{ model_type: "llama", vocab_size: 64, max_position_embeddings: 8, num_hidden_layers: 1, hidden_size: 128 },
    ...{ num_attention_heads: 16, num_key_value_heads: 8, intermediate_size: 352 },
  });
  const found = await scaled({ config, growth: "both", devices: [4, 8, 16], layouts: ["1d", "2d", "2.5d"] });
  for (const { devices, rows, refused } of found) {
    assert.equal(
      refused.filter(({ dims }) => dims !== undefined),
      [],
      `${devices} devices`,
    );
    for (const { width, heads } of rows) assert.is(width / heads, headWidth(config));
  }
  // 16 heads times the root of 2 are 22.6, in units of 8 devices' key-value heads and their two queries each 16 or 32.
  assert.equal(
    found.map(({ rows: [{ heads, batch }] }) => [heads, batch]),
    [
      [16, 8],
      [16, 12],
      [32, 16],
    ],
  );
});

/** Written for this test: RFC 4180, section 2. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [];
  const cell = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/y;
  let row: string[] = [];
  while (cell.lastIndex < text.length) {
    const [, quoted, plain, end] = cell.exec(text) ?? assert.unreachable(`no CSV: ${text.slice(0, 80)}`) ?? [];
    row.push(quoted?.replaceAll('""', '"') ?? plain);
    if (end === ",") continue;
    rows.push(row);
    row = [];
  }
  return rows;
}

test("CSV as RFC 4180 has it: quotes, commas, line breaks", () => {
  const rows = [
    { a: 'say "no", or\r\nyes', b: 0.5, c: true },
    { a: "plain", b: undefined, c: false },
  ];
  const text = csvText(rows);
  assert.is(text.split("\r\n")[0], "a,b,c");
  assert.equal(parseCsv(text), [
    ["a", "b", "c"],
    ['say "no", or\r\nyes', "0.5", "true"],
    ["plain", "", "false"],
  ]);
});

test("scale --csv --html: every row of --json in the one, and in the other, which asks for nothing", async () => {
  // 12 heads do not divide over 8 ranks: a reason with commas in it.
  const args = ["scale", ...model, "--heads", "12", "--width", "96", "--devices", "4,8", "--layouts", "1d,2d,2.5d"];
  const rows = await told([...args, "--csv", "out/scale.csv", "--html", "out/scale.html"]);
  const legal = rows.filter(({ event }) => event === "scaled");
  const refused = rows.filter(({ event }) => event === "refused");
  assert.equal([legal.length, refused.length], [3, 3]);
  const [head, ...cells] = parseCsv(readFileSync(join(folder, "out/scale.csv"), "utf8"));
  assert.is(cells.length, rows.length);
  const at = (row: string[], name: string) => row[head.indexOf(name)];
  for (const [index, row] of [...legal, ...refused].entries()) {
    assert.is(cells[index].length, head.length);
    for (const name of [
      ...["devices", "layout", "seconds", "efficiency", "mfu", "bytesReceived", "fits", "why", "best", "mode", "arch"],
      ...["layers", "width", "heads", "ffn", "vocab", "context", "batch", "accumulate", "recompute", "dtype", "wire"],
    ])
      assert.is(at(cells[index], name), String(row[name] ?? ""), name);
    assert.is(at(cells[index], "mesh"), (row.dims as number[] | undefined)?.join("x") ?? "");
    assert.is(at(cells[index], "legal"), String(index < legal.length));
  }
  assert.ok(refused.some(({ why }) => String(why).includes(", ")));
  const html = readFileSync(join(folder, "out/scale.html"), "utf8");
  assert.is(/<script|<img|<iframe|<object|@import|url\(|https?:/i.test(html), false);
  assert.match(html, /default-src 'none'/);
  assert.is(/NaN|undefined|Infinity/.test(html), false);
  for (const { layout, dims, efficiency } of legal) {
    const row = `<td>${layout}</td><td>${(dims as number[]).join(" × ")}</td>.*<td>${(100 * Number(efficiency)).toFixed(1)}%</td>`;
    assert.match(html, new RegExp(row));
  }
  for (const { why } of refused) assert.ok(html.includes(String(why)), String(why));
});

test("scaling that cannot be is refused by name", async () => {
  const wrong: [string[], RegExp][] = [
    [["--devices", "4,4"], /got --devices 4,4, need each number once/],
    [["--devices", "4,x"], /got --devices x, need a whole number from 1/],
    [["--devices", "4,5000"], /got --devices 4,5000, need at most 4096/],
    [["--layouts", "3d"], /got --layouts 3d, need some of 1d, 1d-sp, 2d, 2\.5d, each once/],
    [["--layouts", ""], /got --layouts "", need some of/],
    [["--layouts", "2d,2d"], /got --layouts 2d,2d, need some of .*, each once/],
    [["--grow", "width"], /got --grow width with --mode strong, where nothing grows; use --mode weak/],
    [["--mode", "fast"], /option '--mode <name>' argument 'fast' is invalid/],
    [["--csv", "x.csv", "--html", "./x.csv"], /got x\.csv for --csv and --html; use two names/],
    [["--html", "/"], /\/: it is a folder; need a file that can be written/],
  ];
  for (const [args, pattern] of wrong) await refuses(["scale", ...model, ...args], pattern);
  const { code, stderr } = await command(["scale", ...model, "--devices", "7"]);
  assert.is(code, 2);
  assert.match(stderr, /error: none of these layouts is legal on any of these numbers of devices/);
});

test.run();
