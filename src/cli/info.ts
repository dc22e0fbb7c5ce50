// `shardgrad info`: what this machine offers, and what `auto` would take of it.

import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import { listAdapters } from "../backend/select.ts";
import { jsonOption } from "./common.ts";
import { bytesText, Output } from "./output.ts";

export function addInfo(program: Command): void {
  program
    .command("info")
    .description("adapters found, their limits and features, and which backend auto takes")
    .addOption(jsonOption())
    .action(runInfo);
}

/** Version of this package, from its package.json beside dist/. */
export async function packageVersion(): Promise<string> {
  const json: unknown = JSON.parse(await readFile(new URL("../package.json", import.meta.url), "utf8"));
  return String((json as { version: unknown }).version);
}

async function runInfo({ json }: { json: boolean }): Promise<void> {
  const output = new Output(json);
  const { adapters, note } = await listAdapters();
  const versions = {
    shardgrad: await packageVersion(),
    node: process.versions.node,
    platform: `${process.platform} ${process.arch}`,
  };
  output.event({ event: "info", versions, auto: note, adapters });
  if (json) return;
  output.say(`shardgrad ${versions.shardgrad}, Node ${versions.node}, ${versions.platform}`);
  output.say(`auto takes ${note}`);
  if (adapters.length === 0) output.say("no WebGPU adapter");
  for (const { description, vendor, architecture, software, features, limits } of adapters) {
    output.say(`\n${description}${software ? " (a CPU at work)" : ""}`);
    const maker = [vendor, architecture].filter(Boolean).join(", ");
    if (maker) output.say(`  from  ${maker}`);
    output.say(`  features  ${features.join(", ") || "none"}`);
    for (const [name, value] of Object.entries(limits)) {
      output.say(`  ${name}  ${/Size$/.test(name) && value > 65536 ? bytesText(value) : value}`);
    }
  }
}
