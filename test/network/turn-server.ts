// A TURN server of a test's own, Debian's coturn with one user, and what it says it relayed.

import { type ChildProcess, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { turnServer } from "../../scripts/setup.mjs";

export class TurnServer {
  /** turn:HOST:PORT */
  readonly url: string;
  readonly username = "ada";
  readonly credential = "correct horse";
  readonly #process: ChildProcess;
  readonly #folder = mkdtempSync(join(tmpdir(), "shardgrad-turn-"));

  private constructor(program: string, { address, port }: { address: string; port: number }) {
    this.url = `turn:${address}:${port}`;
    const settings = {
      "listening-ip": address,
      "relay-ip": address,
      "listening-port": port,
      realm: "shardgrad",
      user: `${this.username}:${this.credential}`,
      userdb: join(this.#folder, "users"),
      pidfile: join(this.#folder, "pid"),
      // Flushed line by line, which its stdout is not.
      "log-file": join(this.#folder, "log"),
      "relay-threads": 1,
    };
    const flags = ["no-cli", "no-tls", "no-dtls", "lt-cred-mech", "verbose", "simple-log", "allow-loopback-peers"];
    this.#process = spawn(
      program,
      // -n: nothing from the machine's own configuration.
      [
        "-n",
        ...flags.map((flag) => `--${flag}`),
        ...Object.entries(settings).map(([name, value]) => `--${name}=${value}`),
      ],
      { cwd: this.#folder, stdio: "ignore" },
    );
  }

  /** @param address to listen at, and to relay from */
  static async start(address = "127.0.0.1"): Promise<TurnServer> {
    const server = new TurnServer(await turnServer(), { address, port: await freePort(address) });
    await server.#ready();
    return server;
  }

  get log(): string {
    const file = join(this.#folder, "log");
    return existsSync(file) ? readFileSync(file, "utf8") : "";
  }

  /** What it sent to those whom it relays for, by its log, which says so each 2048 packets of a session and at its end. */
  get relayedBytes(): number {
    const said = [...this.log.matchAll(/ usage: realm=.*, rp=\d+, rb=\d+, sp=\d+, sb=(\d+)$/gm)];
    return said.filter(([line]) => !line.includes("peer usage")).reduce((sum, [, bytes]) => sum + Number(bytes), 0);
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      this.#process.kill("SIGKILL");
      await once(this.#process, "exit");
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #ready(): Promise<void> {
    while (!/UDP listener opened on/.test(this.log)) {
      if (this.#process.exitCode !== null) throw new Error(`turnserver ended:\n${this.log}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

async function freePort(address: string): Promise<number> {
  const socket = createSocket("udp4").bind(0, address);
  await once(socket, "listening");
  const { port } = socket.address();
  socket.close();
  await once(socket, "close");
  return port;
}
