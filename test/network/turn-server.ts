// A TURN server of a test's own, Debian's coturn with one user. Datagrams pass through a port of this process on their way to it and back, where
// they are counted: coturn itself speaks of traffic now and then.

import { type ChildProcess, spawn } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { turnServer } from "../../scripts/setup.mjs";

/** Another than the clients': it lets through to a client what comes from where its peers' addresses are, and would take a peer itself for its
 *  address, past which ranks would then find a direct way. Other systems have one loopback address, and the tests less to say there. */
export const relayApart = process.platform === "linux";
const relayAddress = (address: string) => (address === "127.0.0.1" && relayApart ? "127.0.0.2" : address);

export class TurnServer {
  /** turn:HOST:PORT */
  readonly url: string;
  readonly username = "ada";
  readonly credential = "correct horse";
  /** From and to clients: twice what a pair of them says, or once where a way by one side's address alone is found. */
  relayedBytes = 0;
  readonly #process: ChildProcess;
  readonly #sockets: Socket[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), "shardgrad-turn-"));

  private constructor(program: string, { address, front, port }: { address: string; front: Socket; port: number }) {
    this.url = `turn:${address}:${front.address().port}`;
    this.#count(front, { address, port });
    const settings = {
      "listening-ip": address,
      "relay-ip": relayAddress(address),
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
    const [front, spare] = await Promise.all([bound(address), bound(address)]);
    const { port } = spare.address();
    spare.close();
    const server = new TurnServer(await turnServer(), { address, front, port });
    await server.#ready();
    return server;
  }

  get log(): string {
    const file = join(this.#folder, "log");
    return existsSync(file) ? readFileSync(file, "utf8") : "";
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.close();
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      this.#process.kill("SIGKILL");
      await once(this.#process, "exit");
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Each client has a port of its own towards the server, as behind a router. */
  #count(front: Socket, { address, port }: { address: string; port: number }): void {
    const ways = new Map<string, Socket>();
    this.#sockets.push(front);
    front.on("message", (datagram, client) => {
      const name = `${client.address}:${client.port}`;
      let way = ways.get(name);
      if (!way) {
        way = createSocket({ type: "udp4", recvBufferSize: 1 << 20 }).bind(0, address);
        way.on("message", (answer, sender) => {
          // As at a router, answers alone: what peers send past the server would reach the client as the server's own words.
          if (sender.port !== port || sender.address !== address) return;
          this.relayedBytes += answer.length;
          front.send(answer, client.port, client.address);
        });
        ways.set(name, way);
        this.#sockets.push(way);
      }
      this.relayedBytes += datagram.length;
      way.send(datagram, port, address);
    });
  }

  async #ready(): Promise<void> {
    while (!/UDP listener opened on/.test(this.log)) {
      if (this.#process.exitCode !== null) throw new Error(`turnserver ended:\n${this.log}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

async function bound(address: string): Promise<Socket> {
  const socket = createSocket({ type: "udp4", recvBufferSize: 1 << 20 }).bind(0, address);
  await once(socket, "listening");
  return socket;
}
