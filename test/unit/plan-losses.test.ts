// Why choices of a plan lose: parts that add up, and sentences whose numbers are those of the simulated steps.

import { test } from "uvu";
import { equal, is, match, ok } from "uvu/assert";
import { parseModelConfig } from "../../src/nn/config.ts";
import { meshShape } from "../../src/parallel/shape.ts";
import { withChanges } from "../../src/plan/changes.ts";
import { type PlanLoss, whySlower } from "../../src/plan/losses.ts";
import { extended, partsOf, type StepParts } from "../../src/plan/parts.ts";
import type { Profile } from "../../src/plan/profile.ts";
import { profileNamed } from "../../src/plan/profiles.ts";
import { parametersOf } from "../../src/plan/record-step.ts";
import { searchPlan } from "../../src/plan/search.ts";
import type { PlanProblem, PlanWay } from "../../src/plan/shape-search.ts";
import { recordRanks, simulate } from "../../src/plan/simulate.ts";
import { bytesText, secondsText } from "../../src/plan/units.ts";

const config = parseModelConfig({
  ...{ model_type: "gpt2", vocab_size: 300, n_positions: 32, n_embd: 96, n_layer: 5, n_head: 8 },
});
const problem = (more: Partial<PlanProblem> = {}): PlanProblem => ({
  ...{ config, parameters: parametersOf({ batch: 12, context: 32 }), batches: [12], devices: 4 },
  ...{ memoryBytes: 1e12, profile: profileNamed("m1", "lan"), ...more },
});

/** Sums of some hundred thousand times. */
const near = (got: number, wanted: number, of: number, what: string) =>
  ok(Math.abs(got - wanted) <= 1e-9 * of, `${what}: ${got}, not ${wanted}`);

const sumOf = ({ computingSeconds, exposedSeconds, idleSeconds }: StepParts | PlanLoss) =>
  computingSeconds + exposedSeconds + idleSeconds;

test("each choice's parts add up to its step, and what it loses to what it is behind", async () => {
  const { choices } = await searchPlan(problem({ batches: [6, 12], memoryBytes: 3e6 }));
  ok(choices.length > 4, `${choices.length} choices`);
  const [best, ...others] = choices;
  equal([best.loss, best.why], [undefined, undefined]);
  for (const { parts, seconds, batch, loss, why } of others) {
    near(sumOf(parts), seconds, seconds, "parts");
    near(parts.productSeconds + parts.otherSeconds, parts.computingSeconds, seconds, "kernels");
    ok(parts.hiddenSeconds <= parts.computingSeconds && parts.hiddenSeconds >= 0);
    ok(loss && why);
    near(loss.seconds, (best.batch / batch) * seconds - best.seconds, seconds, "seconds");
    near(sumOf(loss), loss.seconds, seconds, "loss");
    const { moreProductsSeconds, slowerProductsSeconds, otherKernelsSeconds } = loss;
    near(
      moreProductsSeconds + slowerProductsSeconds + otherKernelsSeconds,
      loss.computingSeconds,
      seconds,
      "computing",
    );
    is(why.startsWith("for as many tokens, "), batch !== best.batch);
  }
});

test("what a rank receives is told as it is simulated, where more of it is why messages are exposed", async () => {
  const { choices } = await searchPlan(problem());
  const received = async ({ shape, accumulate, recompute }: (typeof choices)[number]) => {
    const parameters = { ...problem().parameters, batch: 12 / accumulate, accumulate, recompute };
    const { entries } = await recordRanks({ shape, config, parameters });
    return Math.max(...entries.map((rank) => rank.reduce((sum, { bytes }) => sum + bytes, 0)));
  };
  const [best, ...others] = choices;
  const told = others.find(({ why }) => why?.includes("a rank receives"));
  ok(told?.why && told.loss, choices.map(({ why }) => why).join("\n"));
  const amount = secondsText(told.loss.exposedSeconds, { digits: 2 });
  const bytes = [bytesText(await received(told)), bytesText(await received(best))];
  is(told.why.split("; ")[0], `a rank receives ${bytes[0]}, not ${bytes[1]}: ${amount} more exposed communication`);
});

/** A way to train, simulated whole. */
async function way(
  mesh: readonly number[],
  { accumulate = 1, recompute = false, profile }: { accumulate?: number; recompute?: boolean; profile: Profile },
): Promise<PlanWay> {
  const shape = meshShape({ dims: mesh });
  const { parameters: step } = problem();
  const parameters = { ...step, batch: 12 / accumulate, accumulate, recompute };
  const parts = partsOf(simulate(await recordRanks({ shape, config, parameters }), { profile, devices: shape.size }));
  const { seconds } = parts;
  return { shape, batch: 12, accumulate, recompute, parts, seconds, tokensPerSecond: 384 / seconds, memoryBytes: 0 };
}

const sentence = (choice: PlanWay, best: PlanWay) =>
  whySlower(choice, { best, config, parameters: problem().parameters });
const text = (seconds: number) => secondsText(seconds, { digits: 2 });

test("blocks computed again, weights sent again, smaller products: each is told where it is what costs", async () => {
  const cluster = profileNamed("a100");
  const one = await way([2, 2], { profile: cluster });
  const again = await way([2, 2], { profile: cluster, recompute: true });
  const computing = text(again.parts.computingSeconds - one.parts.computingSeconds);
  match(
    sentence(again, one),
    new RegExp(`^(blocks computed again|kernels .* times as long): ${computing} more computing`),
  );
  const slow = withChanges(cluster, { network: { bytesPerSecond: 1e6, latencySeconds: 0 } });
  const [whole, parts] = [await way([2, 2], { profile: slow }), await way([2, 2], { profile: slow, accumulate: 3 })];
  const exposed = text(parts.parts.exposedSeconds - whole.parts.exposedSeconds);
  is(sentence(parts, whole), `3 micro-batches send weights 3 times: ${exposed} more exposed communication`);
  // Products a hundredth as fast, and slow with few rows; nothing else takes anything to speak of.
  const products = { ...cluster.device.products.f32, halfM: { value: 1e5, origin: "estimate" as const } };
  const device = { ...cluster.device, products: { f32: products, f16: products } };
  const few = withChanges({ ...cluster, device }, { device: { productFlopsPerSecond: { f32: 1e9 } } });
  const [tall, short] = [await way([4], { profile: few }), await way([4], { profile: few, accumulate: 4 })];
  const rate = ({ parts: { productFlops, productSeconds } }: PlanWay) => productFlops / productSeconds;
  const share = ((100 * rate(short)) / rate(tall)).toFixed(1);
  ok(Number(share) < 50, `a quarter of the rows: ${share}%`);
  const slower = text(short.parts.computingSeconds - tall.parts.computingSeconds);
  is(sentence(short, tall), `smaller products at ${share}% of the best's rate: ${slower} more computing`);
  is(sentence(tall, tall), "it takes as long");
});

test("later blocks and micro-batches are as long as the second, and nothing becomes less than nothing", () => {
  const one: StepParts = {
    ...{ seconds: 10, computingSeconds: 4, hiddenSeconds: 1, exposedSeconds: 3, idleSeconds: 3 },
    ...{ productFlops: 100, productSeconds: 3, otherSeconds: 1 },
  };
  const two: StepParts = {
    ...{ seconds: 14, computingSeconds: 7, hiddenSeconds: 3, exposedSeconds: 5, idleSeconds: 2 },
    ...{ productFlops: 190, productSeconds: 5, otherSeconds: 2 },
  };
  equal(extended(one, two, 1), two);
  const long = extended(one, two, 7);
  is(long.seconds, 38);
  is(long.idleSeconds, 0);
  near(sumOf(long), 38, 38, "parts");
  near(long.computingSeconds / long.exposedSeconds, 25 / 17, 2, "the others keep their proportion");
  equal([long.productFlops, long.productSeconds, long.otherSeconds], [730, 17, 8]);
});

test.run();
