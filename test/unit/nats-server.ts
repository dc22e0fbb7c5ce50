// A NATS server of a test's own, with JetStream in a folder that is gone afterwards, and a WebSocket port.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "@nats-io/transport-node";
import { natsServer } from "../../scripts/setup.mjs";

export class NatsServer {
  readonly port: number;
  readonly webSocketPort: number;
  readonly #program: string;
  readonly #folder: string;
  readonly #jetStream: string;
  #process: ChildProcess | undefined;

  private constructor({ program, ports, jetStream }: { program: string; ports: number[]; jetStream: string }) {
    this.#program = program;
    this.#jetStream = jetStream;
    [this.port, this.webSocketPort] = ports;
    this.#folder = mkdtempSync(join(tmpdir(), "shardgrad-nats-"));
  }

  /** @param options.jetStream further lines of its configuration */
  static async start({ jetStream = "" }: { jetStream?: string } = {}): Promise<NatsServer> {
    const program = await natsServer();
    const server = new NatsServer({ program, ports: await freePorts(2), jetStream });
    await server.start();
    return server;
  }

  /** Again, with what it kept. */
  async start(): Promise<void> {
    const file = join(this.#folder, "server.conf");
    writeFileSync(
      file,
      `host: 127.0.0.1, port: ${this.port}
       jetstream { store_dir: "${this.#folder}", ${this.#jetStream} }
       websocket { host: 127.0.0.1, port: ${this.webSocketPort}, no_tls: true }`,
    );
    const child = spawn(this.#program, ["-c", file], { stdio: ["ignore", "ignore", "pipe"] });
    this.#process = child;
    let said = "";
    await new Promise<void>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", () => reject(new Error(`nats-server ended:\n${said}`)));
      child.stderr?.setEncoding("utf8").on("data", (text: string) => {
        said += text;
        if (said.includes("Server is ready")) resolve();
      });
    });
  }

  /** Kills it, as a machine that fails does. */
  async stop(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (!child || child.exitCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }

  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  url(room: string): string {
    return `nats://127.0.0.1:${this.port}/${room}`;
  }

  webSocketUrl(room: string): string {
    return `nats+ws://127.0.0.1:${this.webSocketPort}/${room}`;
  }

  /** A client without any secret. */
  stranger() {
    return connect({ servers: `127.0.0.1:${this.port}`, reconnect: false });
  }
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
