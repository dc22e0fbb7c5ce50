// `shardgrad verify DIR`: replays a reference run and says how far this engine is from it.

import { join } from "node:path";
import type { Command } from "commander";
import { UserError } from "../backend/errors.ts";
import { type BackendChoice, createBackend } from "../backend/select.ts";
import { type ReferenceFiles, type VerifyResult, verifyTolerances } from "../train/events.ts";
import { verifyReference } from "../train/verify.ts";
import { backendOption, jsonOption } from "./common.ts";
import { readInput } from "./files.ts";
import { Output } from "./output.ts";

const fileNames: Readonly<Record<keyof ReferenceFiles, string>> = {
  config: "config.json",
  weights: "weights.safetensors",
  batch: "batch.safetensors",
  expected: "expected.safetensors",
  losses: "losses.json",
};

export function addVerify(program: Command): void {
  program
    .command("verify")
    .description("replay a reference run computed by PyTorch in float64 and print the largest errors")
    .argument("<dir>", `folder of ${Object.values(fileNames).join(", ")}`)
    .addOption(backendOption())
    .addOption(jsonOption())
    .action(runVerify);
}

async function runVerify(dir: string, options: { backend: BackendChoice; json: boolean }): Promise<void> {
  const output = new Output(options.json);
  const files = await readReference(dir);
  const { backend, note } = await createBackend({ backend: options.backend });
  try {
    output.say(note);
    const result = await verifyReference({ backend, files }).catch((error: unknown) => {
      throw error instanceof UserError ? new UserError(`${dir}: ${error.message}`) : error;
    });
    output.event({ event: "verify", dir, backend: backend.name, adapter: backend.adapter.description, ...result });
    for (const line of verifyTable(result)) output.say(line);
    if (!result.pass) process.exitCode = 1;
  } finally {
    backend.dispose();
  }
}

/** @throws UserError naming the first file that is missing */
async function readReference(dir: string): Promise<ReferenceFiles> {
  const read = (name: keyof ReferenceFiles) =>
    readInput(join(dir, fileNames[name]), `a reference run's ${fileNames[name]}`);
  return {
    config: await read("config"),
    weights: await read("weights"),
    batch: await read("batch"),
    expected: await read("expected"),
    losses: await read("losses"),
  };
}

/** Error, limit and verdict of each quantity. */
function verifyTable({ logits, grad, loss, gradNorm, after, pass }: VerifyResult): string[] {
  const rows: [string, number, number | undefined, string][] = [
    ["logits", logits, verifyTolerances.logits, ""],
    ["gradients", grad.worst, verifyTolerances.grad, grad.name],
    ["losses", Math.max(...loss), verifyTolerances.loss, ""],
    ["gradient norms", gradNorm, undefined, ""],
    ["final weights", after.worst, verifyTolerances.after, after.name],
  ];
  const lines = rows.map(([what, error, limit, name]) => {
    const verdict = limit === undefined ? "" : error <= limit ? "ok" : "FAIL";
    const cells = [
      what.padEnd(14),
      error.toExponential(2).padStart(9),
      limit?.toExponential(0).padStart(7) ?? "       ",
    ];
    return `${cells.join("  ")}  ${verdict.padEnd(4)}  ${name}`.trimEnd();
  });
  return [
    `${"relative error".padEnd(14)}  ${"largest".padStart(9)}  ${"limit".padStart(7)}`,
    ...lines,
    pass ? "pass" : "FAIL",
  ];
}
