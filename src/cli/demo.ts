// `shardgrad demo`: serves the demo pages, with the headers by which browsers let threads share memory, and the rooms of the Together page.

import { spawn } from "node:child_process";
import { join } from "node:path";
import type { Command } from "commander";
import { jsonOption } from "./common.ts";
import { startDemoServer } from "./demo-server.ts";
import { interruptible } from "./interrupt.ts";
import { Output } from "./output.ts";
import { insecureNote, portNumber } from "./served.ts";
import { packageFolder } from "./text.ts";

const defaultPort = 8640;

interface DemoFlags {
  host: string;
  port: string;
  public?: string;
  share: boolean;
  open: boolean;
  json: boolean;
}

export const addDemo = (program: Command): Command =>
  program
    .command("demo")
    .description("serve the demo pages on this machine, and open them")
    .option("--host <address>", "of this machine to listen at; 0.0.0.0 lets other machines in", "localhost")
    .option("--port <number>", "0: any free one", String(defaultPort))
    .option("--public <url>", "how others reach this machine when not at its own address: https://HOST")
    .option("--share", "other machines may open rooms too, not only join them", false)
    .option("--no-open", "do not open the browser")
    .addOption(jsonOption())
    .action(runDemo);

async function runDemo({ host, port, public: publicUrl, share, open, json }: DemoFlags): Promise<void> {
  const output = new Output(json);
  const folder = join(packageFolder, "dist/demos");
  const number = portNumber(port, { fallback: defaultPort });
  const server = await startDemoServer({ folder, host, port: number, publicUrl, share });
  try {
    const { origin, localUrl } = server;
    const elsewhere = `${origin}/` === localUrl ? undefined : `${origin}/`;
    output.event({ event: "demo", url: localUrl, ...(elsewhere && { elsewhere }) });
    output.say(`the demos are at ${localUrl}${elsewhere ? `, for others at ${elsewhere}` : ""}; Ctrl-C ends them`);
    const note = insecureNote(origin);
    if (note) output.say(note);
    if (publicUrl !== undefined && !share)
      output.say("behind a proxy nobody is known to be at this machine: with --public, rooms are opened with --share");
    if (open) openBrowser(localUrl);
    await interruptible(
      (signal) => new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true })),
    );
  } finally {
    await server.close();
  }
}

/** Where there is none to open, the link has been printed. */
function openBrowser(url: string): void {
  const [command, ...args] =
    process.platform === "darwin" ? ["open"] : process.platform === "win32" ? ["cmd", "/c", "start"] : ["xdg-open"];
  spawn(command, [...args, url], { stdio: "ignore", detached: true })
    .on("error", () => undefined)
    .unref();
}
