// `shardgrad verify DIR`: replays a reference run and says how far this engine is from it.

import { join } from "node:path";
import type { Command } from "commander";
import { requireReferenceFits, verifyOnMesh } from "../cluster/launch.ts";
import { bytesReceived, type LedgerEntry, totals } from "../comm/ledger.ts";
import type { ReferenceFiles, Tolerances, VerifyResult } from "../train/events.ts";
import {
  addBackendOptions,
  addLinkOption,
  addMeshOptions,
  type BackendFlags,
  jsonOption,
  type LinkFlags,
  type MeshFlags,
  meshText,
  openRanks,
  shapeOf,
} from "./common.ts";
import { named, readInput } from "./files.ts";
import { countText, Output } from "./output.ts";
import { addWireOption, type WireFlags, wireText } from "./wire.ts";

const fileNames: Readonly<Record<keyof ReferenceFiles, string>> = {
  config: "config.json",
  weights: "weights.safetensors",
  batch: "batch.safetensors",
  expected: "expected.safetensors",
  losses: "losses.json",
};

export function addVerify(program: Command): void {
  const command = program
    .command("verify")
    .description("replay a reference run computed by PyTorch in float64 and print the largest errors")
    .argument("<dir>", `folder of ${Object.values(fileNames).join(", ")}`)
    .addOption(jsonOption())
    .action(runVerify);
  addWireOption(addBackendOptions(addLinkOption(addMeshOptions(command))));
}

async function runVerify(
  dir: string,
  options: MeshFlags & BackendFlags & LinkFlags & WireFlags & { json: boolean },
): Promise<void> {
  const output = new Output(options.json);
  const { wire } = options;
  const shape = shapeOf(options);
  const files = await readReference(dir);
  named(dir, () => requireReferenceFits(files, shape));
  const { where, note, dispose } = await openRanks(options);
  try {
    output.say(note);
    const { traffic, limits, slack, backend, adapter, ...result } = await verifyOnMesh({
      ...where,
      files,
      shape,
      wire,
    }).catch((error: unknown) =>
      named(dir, () => {
        throw error;
      }),
    );
    const { layout, dims, size } = shape;
    const received = bytesReceived(traffic, size);
    output.event({
      ...{ event: "verify", dir, backend, adapter, layout, dims, wire },
      ...{ ...result, bytesReceived: received },
    });
    if (size > 1 && wire === "f16")
      output.say(
        `${meshText(shape)}${wireText(wire)}: limits sqrt(3 n) 2^-11 for n roundings; AdamW's steps have none`,
      );
    else if (size > 1) output.say(`${meshText(shape)}: limits ${slack} times as wide`);
    for (const line of verifyTable(result, { limits, slack })) output.say(line);
    if (size > 1) for (const line of trafficTable(traffic)) output.say(line);
    if (!result.pass) process.exitCode = 1;
  } finally {
    dispose();
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
function verifyTable(result: VerifyResult, { limits, slack }: { limits: Tolerances; slack: number }): string[] {
  const { logits, grad, loss, gradNorm, after, pass } = result;
  const losses: [string, number, number | undefined, string][] =
    limits.laterLosses === undefined
      ? [["losses", Math.max(...loss), limits.loss, ""]]
      : [
          ["first loss", loss[0], limits.loss, ""],
          ["later losses", Math.max(...loss.slice(1)), limits.laterLosses, ""],
        ];
  const rows: [string, number, number | undefined, string][] = [
    ["logits", logits, limits.logits, ""],
    ["gradients", grad.worst, limits.grad, grad.name],
    ...losses,
    ["gradient norms", gradNorm, undefined, ""],
    ["final weights", after.worst, limits.after, after.name],
  ];
  const lines = rows.map(([what, error, least, name]) => {
    const limit = least !== undefined && Number.isFinite(least) ? slack * least : undefined;
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

/** Messages and bytes of the whole run by purpose, all ranks together. */
function trafficTable(traffic: readonly LedgerEntry[]): string[] {
  const rows = [...totals(traffic, ({ purpose }) => purpose)].map(
    ([purpose, { messages, bytes }]) =>
      `${purpose.padEnd(20)}  ${countText(messages).padStart(10)}  ${countText(bytes).padStart(14)}`,
  );
  return ["", `${"all ranks, for".padEnd(20)}  ${"messages".padStart(10)}  ${"bytes".padStart(14)}`, ...rows];
}
