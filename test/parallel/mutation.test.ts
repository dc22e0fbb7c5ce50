// Every collective call of the layouts, found in a recorded run, is left out, made twice, and made in every other group: each time a
// training step must fail, or show numbers that are not the serial layout's, or copies that differ. Where a fault changes no number
// (what was broadcast twice is the same) the ledger must tell.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { ProcessGroup } from "../../src/comm/process-group.ts";
import { type ModelConfig, parseModelConfig } from "../../src/nn/config.ts";
import { Summa } from "../../src/parallel/summa.ts";
import { backendUnderTest, closeBackend } from "../gpu/harness.ts";
import { mesh, type NamedMesh } from "./meshes.ts";
import { distinct, intercept, type Mutation, nameOf, type Site } from "./mutations.ts";
import { faults, type Program, type Seen, watchRanks, watchSerial } from "./observed.ts";

// Extents of blocks are unequal wherever two could be confused: on 2x2x3 a rank has 5 rows, and blocks of 12 (width), 36 or 24 (qkv),
// 21 (ffn), 42 (gate and up) and 28 (vocabulary) columns; on 3x3x2 5, 8, 24 or 16, 14, 28 and 20.
const vocabSize = 53;
const gpt2 = parseModelConfig({
  ...{ model_type: "gpt2", vocab_size: vocabSize, n_positions: 9 },
  ...{ n_embd: 24, n_inner: 42, n_layer: 1, n_head: 6 },
});
const llama = parseModelConfig({
  ...{ model_type: "llama", vocab_size: vocabSize, max_position_embeddings: 9, tie_word_embeddings: false },
  ...{ hidden_size: 24, intermediate_size: 42, num_hidden_layers: 1, num_attention_heads: 12, num_key_value_heads: 6 },
});

/** Clipping is active: the gradient's norm is about 1. */
const programOf = (config: ModelConfig): Program => ({
  ...{ config, batch: 6, context: 5, accumulate: 2, steps: 1, dropout: 0.2, clip: 0.5, recompute: false, samples: 5 },
});

interface Subject {
  shape: NamedMesh;
  program: Program;
  name: string;
  /** places in the layout's sources that call a collective; a new one is found by itself, and this number says so */
  sites: number;
  /** groups that a call can be made in instead of its own */
  others: number;
}

const subjects: Subject[] = [
  {
    shape: mesh("2.5d", [3, 3, 2]),
    program: programOf(gpt2),
    name: "2.5d 3x3x2, GPT-2 (tied, biases)",
    sites: 26,
    others: 4,
  },
  {
    shape: mesh("2.5d", [2, 2, 3]),
    program: programOf(llama),
    name: "2.5d 2x2x3, Llama (untied)",
    sites: 26,
    others: 4,
  },
  { shape: mesh("1d", [3]), program: programOf(gpt2), name: "1d on 3 ranks, GPT-2", sites: 10, others: 1 },
  { shape: mesh("1d-sp", [3]), program: programOf(llama), name: "1d-sp on 3 ranks, Llama", sites: 17, others: 1 },
];

/** Each rank's groups by axis, for calls that go to the wrong one. 1D has one axis: there, all ranks but the last, and the last alone. */
class Groups {
  readonly #byRank: Map<string, ProcessGroup>[] = [];

  readonly prepare: NonNullable<Parameters<typeof watchRanks>[1]["prepare"]> = (layout, { link, ledger }) => {
    if (layout instanceof Summa) {
      const { row, column, depth, batch, world } = layout.mesh;
      this.#byRank[link.rank] = new Map(Object.entries({ row, column, depth, batch, world }));
      return;
    }
    const last = link.size - 1;
    const ranks = link.rank === last ? [last] : Array.from({ length: last }, (_, rank) => rank);
    const part = new ProcessGroup({ name: `part(${ranks})`, ranks, link, ledger });
    this.#byRank[link.rank] = new Map([["part", part]]);
  };

  /** What a call along `axis` could be confused with. */
  others(axis: string): string[] {
    return [...this.#byRank[0].keys()].filter((other) => other !== axis);
  }

  instead(axis: string): Exclude<Mutation, string> {
    return ({ ranks, index }) => this.#byRank[ranks[index]].get(axis) as ProcessGroup;
  }
}

/** What the run without a fault shows. */
interface Sound {
  serial: Seen;
  ranks: Seen[];
  sites: Site[];
  groups: Groups;
}

async function record({ shape, program }: Subject): Promise<Sound> {
  const device = await backendUnderTest();
  const serial = await watchSerial(device, program);
  const sites = new Map<string, Site>();
  using _ = intercept({ see: (site) => sites.set(nameOf(site), site) });
  const groups = new Groups();
  const ranks = await watchRanks(shape, { device, program, prepare: groups.prepare });
  return { serial, ranks, sites: distinct(sites.values()), groups };
}

const recorded = new Map<Subject, Promise<Sound>>();
const soundOf = (subject: Subject): Promise<Sound> => {
  const sound = recorded.get(subject) ?? record(subject);
  recorded.set(subject, sound);
  return sound;
};

/** "removed", "doubled", or the axis whose group gets the call. */
interface Fault {
  site: Site;
  fault: string;
}

/** How a run with the fault is found out; undefined when it is not. */
async function verdict(subject: Subject, { site, fault }: Fault) {
  const { serial, ranks: sound } = await soundOf(subject);
  const { shape, program } = subject;
  const device = await backendUnderTest();
  const groups = new Groups();
  const mutation = fault === "removed" || fault === "doubled" ? fault : groups.instead(fault);
  let ranks: Seen[];
  using _ = intercept({ site, mutation });
  try {
    ranks = await watchRanks(shape, { device, program, timeoutMs: 1000, prepare: groups.prepare });
  } catch (error) {
    return { by: "error", shown: [`${error}`] };
  }
  const shown = faults(ranks, serial);
  if (shown.length > 0) return { by: "numbers", shown };
  const counted = ranks.every(({ received }, rank) => received === sound[rank].received);
  return counted ? undefined : { by: "ledger", shown };
}

/** Whether the numbers stay right, and only the ledger can tell: twice the same is the same; a weight's block comes as well from another
 *  plane; any shift of a row's logits, not only its maximum, gives the same loss, if the row's ranks agree on it. */
function changesNothing({ op, combine, axis }: Site, fault: string): boolean {
  if (fault === "doubled") return op === "broadcast" || op === "allGather" || combine === "max";
  return fault === "world" ? combine === "max" : fault === "batch" && axis === "column" && op === "broadcast";
}

/** The faults that nothing shows. */
async function survivors(subject: Subject, mutants: readonly Fault[]): Promise<string[]> {
  const names: string[] = [];
  for (const mutant of mutants) {
    const found = await verdict(subject, mutant);
    const { site, fault } = mutant;
    if (!found || (found.by === "ledger" && !changesNothing(site, fault))) names.push(`${fault}: ${nameOf(site)}`);
  }
  return names;
}

/** What a call is and where it goes is decided above the backend: other adapters run the calls left out and the traps. All of it took
 *  40 s on the cpu backend and 230 s on lavapipe, whose two cores others were using too. */
const all = process.env.SHARDGRAD_TEST_BACKEND === "cpu";

for (const subject of subjects) {
  const { name, program } = subject;
  test(`${name}: without a fault nothing shows, and all ${subject.sites} calls of collectives are known`, async () => {
    const { serial, ranks, sites } = await soundOf(subject);
    assert.equal(faults(ranks, serial), []);
    assert.ok(serial.norms[0] > program.clip, "clipping is not active");
    assert.is(sites.length, subject.sites, sites.map(nameOf).join("\n"));
  });
  for (const [fault, what] of [["removed", "left out"], ...(all ? [["doubled", "made twice"]] : [])])
    test(`${name}: each of ${subject.sites} collectives ${what} is noticed`, async () => {
      const { sites } = await soundOf(subject);
      assert.is(sites.length, subject.sites);
      assert.equal(
        await survivors(
          subject,
          sites.map((site) => ({ site, fault })),
        ),
        [],
      );
    });
  if (!all) continue;
  // The message of a checkpoint is between two ranks, whatever their group.
  const count = (subject.sites - 1) * subject.others;
  test(`${name}: each collective made in another group, ${count} in all, is noticed`, async () => {
    const { sites, groups } = await soundOf(subject);
    const mutants = sites
      .filter(({ op }) => op !== "send")
      .flatMap((site) => groups.others(site.axis).map((fault) => ({ site, fault })));
    assert.is(mutants.length, count);
    assert.equal(await survivors(subject, mutants), []);
  });
}

// ---- what published code gets wrong -------------------------------------------------------------------------------------

const [cube, deep, line, sequence] = subjects;
const traps: { name: string; subject: Subject; at: Partial<Site>; fault: string; shows: RegExp }[] = [
  {
    name: "the depth sum is missing",
    ...{ subject: deep, at: { axis: "depth", purpose: "gradient sum" }, fault: "removed" },
    shows: /^rank 0: gradient of model.layers.0.mlp.up_proj.weight off/,
  },
  {
    name: "the loss's mean is taken over columns but not depth",
    ...{ subject: deep, at: { axis: "batch", purpose: "loss" }, fault: "column" },
    shows: /^rank 0: loss 1 off/,
  },
  {
    name: "gradients of biases and norms are summed over rows but not depth",
    ...{ subject: cube, at: { axis: "batch", purpose: "gradient sum" }, fault: "column" },
    shows: /^the gradient of h.0.mlp.c_proj.bias .column 0. differs between ranks/,
  },
  {
    name: "each rank's shard alone has its gradient norm",
    ...{ subject: cube, at: { axis: "world", purpose: "gradient norm" }, fault: "removed" },
    shows: /^gradient norms differs between ranks/,
  },
  {
    name: "a block's sum of exponentials is taken for the row's",
    ...{ subject: cube, at: { axis: "row", purpose: "loss", combine: "sum" }, fault: "removed" },
    shows: /^rank 0: loss 1 off/,
  },
  {
    name: "statistics of a block of columns are taken for the row's",
    ...{ subject: cube, at: { axis: "row", purpose: "norm forward" }, fault: "removed" },
    shows: /^rank 0: logits off/,
  },
  {
    name: "a product's partial sums are reduced twice",
    ...{ subject: cube, at: { axis: "row", op: "reduce", purpose: "linear backward" }, fault: "doubled" },
    shows: /^rank 0: gradient of h.0.ln_1.weight off/,
  },
  {
    name: "1D: the gradient of a replicated input is summed twice",
    ...{ subject: line, at: { purpose: "linear backward" }, fault: "doubled" },
    shows: /^rank 0: gradient of h.0.ln_1.weight off/,
  },
  {
    name: "1D with sequence parallelism: norm gradients differ across ranks",
    ...{ subject: sequence, at: { purpose: "gradient sum" }, fault: "removed" },
    shows: /^the gradient of model.layers.0.input_layernorm.weight .all. differs between ranks/,
  },
];

for (const { name, subject, at, fault, shows } of traps)
  test(`${name}: noticed on ${subject.shape.name}`, async () => {
    const { sites } = await soundOf(subject);
    const matching = sites.filter((site) =>
      Object.entries(at).every(([key, value]) => site[key as keyof Site] === value),
    );
    assert.is(matching.length, 1, matching.map(nameOf).join("\n"));
    const found = await verdict(subject, { site: matching[0], fault });
    assert.ok(
      found?.shown.some((each) => shows.test(each)),
      found?.shown.join("\n"),
    );
  });

test.after(closeBackend);
test.run();
