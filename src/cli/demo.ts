// `shardgrad demo`: serves the demo pages, with the headers by which browsers let threads share memory.

import { spawn } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { Command } from "commander";
import { UserError } from "../backend/errors.ts";
import { isolationHeaders } from "../cluster/rendezvous/pages.ts";
import { jsonOption } from "./common.ts";
import { demoPages } from "./demo-pages.ts";
import { interruptible } from "./interrupt.ts";
import { Output } from "./output.ts";
import { packageFolder } from "./text.ts";

const defaultPort = 8640;

interface DemoFlags {
  host: string;
  port: string;
  open: boolean;
  json: boolean;
}

export const addDemo = (program: Command): Command =>
  program
    .command("demo")
    .description("serve the demo pages on this machine, and open them")
    .option("--host <address>", "of this machine to listen at", "localhost")
    .option("--port <number>", "0: any free one", String(defaultPort))
    .option("--no-open", "do not open the browser")
    .addOption(jsonOption())
    .action(runDemo);

async function runDemo({ host, port, open, json }: DemoFlags): Promise<void> {
  const output = new Output(json);
  const pages = demoPages(join(packageFolder, "dist/demos"));
  const server = createServer(({ method, url = "/" }, response) => {
    const page = method === "GET" || method === "HEAD" ? pages(url.replace(/[?#].*$/s, "")) : undefined;
    const { type, body } = page ?? { type: "text/plain; charset=utf-8", body: "there is no such page\n" };
    response.writeHead(page ? 200 : 404, { ...isolationHeaders, "Content-Type": type, "Cache-Control": "no-cache" });
    response.end(method === "HEAD" ? undefined : body);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", ({ message }) =>
      reject(new UserError(`cannot listen at ${host}, port ${port}: ${message}; use another --host or --port`)),
    );
    server.listen(Number(port), host, resolve);
  });
  const url = `http://${host}:${(server.address() as AddressInfo).port}/`;
  output.event({ event: "demo", url });
  output.say(`the demos are at ${url}; Ctrl-C ends them`);
  if (open) openBrowser(url);
  await interruptible((signal) => new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true })));
  server.closeAllConnections();
  server.close();
}

/** Where there is none to open, the link has been printed. */
function openBrowser(url: string): void {
  const [command, ...args] =
    process.platform === "darwin" ? ["open"] : process.platform === "win32" ? ["cmd", "/c", "start"] : ["xdg-open"];
  spawn(command, [...args, url], { stdio: "ignore", detached: true })
    .on("error", () => undefined)
    .unref();
}
