// Links and what they are measured by, case by case, in turns. Runs in a page and in Node.

import { type Endpoint, type Remote, releaseProxy, transfer, wrap } from "comlink";
import { inNode } from "../src/backend/node.ts";
import type { Reply } from "../src/cluster/rank.ts";
import { Relay } from "../src/cluster/relay.ts";
import { ringsWork } from "../src/comm/ring-channel.ts";
import { releaseWebRtc } from "../src/comm/webrtc.ts";
import { type Backend, createBackend } from "../src/index.ts";
import { loopbackRanks, workerRanks } from "../src/parallel.ts";
import { summary, type Timing } from "./harness.ts";
import { type BareRtc, openBareRtc } from "./links-bare-rtc.ts";
import { type Case, cases, forRtc } from "./links-case.ts";
import rawSource from "./links-raw.script";
import type { RawWorker } from "./links-raw.ts";
import { type Runner, roomRanks } from "./links-room.ts";

export interface LinksPlan {
  readonly backend: "auto" | "webgpu" | "cpu";
  readonly repeats: number;
  /** URL of links-rank.ts, bundled */
  readonly program: string;
}

/** A contestant's rounds of `count` messages. */
export interface LinkRow extends Timing {
  readonly name: string;
  readonly bytes: number;
  readonly count: number;
  /** the rows that it is compared with */
  readonly beside: readonly string[];
}

export type LinksEvent =
  | { readonly event: "device"; readonly adapter: string }
  | { readonly event: "case"; readonly rows: readonly LinkRow[] };

const [barePort, bareCopy, bareChannel] = ["bare port", "bare copy", "bare data channel"];

interface Contestant extends Omit<LinkRow, keyof Timing | "bytes"> {
  /** @returns milliseconds, by the sender's clock */
  round(): Promise<number>;
  close(): Promise<void>;
}

const warmUps = 2;

export async function runLinks(
  { backend: choice, repeats, program }: LinksPlan,
  report: (event: LinksEvent) => void | Promise<void>,
): Promise<void> {
  const { backend } = await createBackend({ backend: choice, threads: 1, tune: false });
  await report({ event: "device", adapter: backend.adapter.description });
  const raw = await startRaw();
  const rtc = await openBareRtc();
  try {
    for (const each of cases) {
      const opened = linksOf(each, backend).map((link) => openRanks(link, new URL(program)));
      const contestants = [...(await raw.open(each)), ...bareRtc(rtc, each), ...(await Promise.all(opened))];
      const ms = contestants.map((): number[] => []);
      for (let round = -warmUps; round < repeats; round++)
        for (const at of round % 2 === 0 ? contestants.keys() : [...contestants.keys()].reverse()) {
          const taken = await contestants[at].round();
          if (round >= 0) ms[at].push(taken);
        }
      for (const { close } of contestants) await close();
      const { bytes } = each;
      const rows = contestants.map(({ name, count, beside }, at) => ({
        name,
        bytes,
        count,
        beside,
        ...summary(ms[at]),
      }));
      await report({ event: "case", rows });
    }
  } finally {
    rtc.close();
    await releaseWebRtc();
    raw.end();
    backend.dispose();
  }
}

interface LinkToTry {
  readonly name: string;
  readonly ranks: Runner;
  readonly size: number;
  readonly each: Case;
  readonly beside: readonly string[];
}

function linksOf(each: Case, own: Backend): LinkToTry[] {
  const backend = own.name;
  const beside = each.bytes > 0 ? [barePort, bareCopy] : [barePort];
  const ports = { ranks: workerRanks({ backend, channels: "ports" }), each, beside };
  const rtc = { size: 2, each: forRtc(each), beside: [bareChannel] };
  return [
    ...(each.bytes > 0 ? [{ ...ports, name: "device alone", size: 1 }] : []),
    // Where a message is a reference, there is nothing to compare.
    { name: "loopback", ranks: loopbackRanks(own), size: 2, each, beside: [] },
    { ...ports, name: "workers, ports", size: 2 },
    ...(ringsWork()
      ? [{ name: "workers, rings", ranks: workerRanks({ backend, channels: "rings" }), size: 2, each, beside }]
      : []),
    { name: "webrtc", ranks: roomRanks(own), ...rtc },
    { name: "workers, webrtc", ranks: workerRanks({ backend, link: "webrtc" }), ...rtc },
  ];
}

function bareRtc(rtc: BareRtc, each: Case): Contestant[] {
  const own = forRtc(each);
  return [{ name: bareChannel, count: own.count, beside: [], round: () => rtc.round(own), close: async () => {} }];
}

/** Ranks that go a round when asked. */
async function openRanks({ name, ranks, size, each, beside }: LinkToTry, program: URL): Promise<Contestant> {
  const relay = new Relay<number, Reply>(size, (goOn) => ({ goOn, aborted: false }));
  const take = (rank: number, ms: unknown) => relay.give(rank, ms as number);
  const ended = ranks.run(program, { size, options: each, take }).then(
    () => relay.end(),
    (error: unknown) => relay.fail(error),
  );
  const rounds = relay[Symbol.asyncIterator]();
  await rounds.next();
  return {
    ...{ name, count: each.count, beside },
    round: async () => (await rounds.next()).value[0],
    close: async () => {
      relay.stop();
      await ended;
    },
  };
}

interface Raw {
  open(each: Case): Promise<Contestant[]>;
  end(): void;
}

/** Two workers and a port between them. */
async function startRaw(): Promise<Raw> {
  const workers = await Promise.all([startWorker(), startWorker()]);
  const [{ api }, { api: other }] = workers;
  const { port1, port2 } = new MessageChannel();
  await api.join(transfer(port1, [port1]));
  await other.join(transfer(port2, [port2]));
  return {
    async open(each) {
      await Promise.all(workers.map((worker) => worker.api.prepare(each)));
      const shared = { count: each.count, beside: [], close: async () => {} };
      const port = { ...shared, name: barePort, round: async () => api.transfer(each) };
      return each.bytes > 0 ? [{ ...shared, name: bareCopy, round: async () => api.copy(each) }, port] : [port];
    },
    end: () => {
      for (const worker of workers) worker.end();
    },
  };
}

async function startWorker(): Promise<{ api: Remote<RawWorker>; end(): void }> {
  if (inNode()) {
    const [{ Worker: NodeWorker }, { default: nodeEndpoint }] = await Promise.all([
      import("node:worker_threads"),
      import("comlink/dist/esm/node-adapter.mjs"),
    ]);
    const worker = new NodeWorker(rawSource, { eval: true });
    return ended(wrap<RawWorker>(nodeEndpoint(worker)), () => void worker.terminate());
  }
  const url = URL.createObjectURL(new Blob([rawSource], { type: "text/javascript" }));
  const worker = new Worker(url);
  return ended(wrap<RawWorker>(worker as Endpoint), () => {
    worker.terminate();
    URL.revokeObjectURL(url);
  });
}

const ended = (api: Remote<RawWorker>, terminate: () => void) => ({
  api,
  end: () => {
    api[releaseProxy]();
    terminate();
  },
});
