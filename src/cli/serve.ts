// `shardgrad serve`: opens a room and prints its link; who opens the link, or gives it to `shardgrad join`, becomes a rank.

import type { Command } from "commander";
import { renderUnicodeCompact } from "uqr";
import { joinRoom } from "../cluster/rendezvous/client.ts";
import { parseLink } from "../cluster/rendezvous/link.ts";
import type { NatsRoomOptions } from "../cluster/rendezvous/nats-room.ts";
import type { Rendezvous } from "../cluster/rendezvous/open-room.ts";
import type { Page } from "../cluster/rendezvous/pages.ts";
import type { Plan } from "../cluster/rendezvous/protocol.ts";
import { startRendezvous } from "../cluster/rendezvous/server.ts";
import { iceUrls } from "../comm/ice.ts";
import type { MeshShape } from "../parallel/shape.ts";
import { addMeshOptions, jsonOption, type MeshFlags, shapeOf, wholeNumber } from "./common.ts";
import { addIceOptions, type IceFlags, iceOf, requireRelay } from "./ice.ts";
import { interruptible } from "./interrupt.ts";
import { durationText, Output } from "./output.ts";
import { membersText, planLines } from "./room-text.ts";
import { insecureNote, portNumber } from "./served.ts";

/** What a room is for, beside its mesh. */
export interface Served extends Pick<Plan, "program" | "options" | "about"> {
  pages?: (path: string) => Page | undefined;
  /** path of the page that takes part */
  part?: string;
  /** what a room keeps by name where it has no pages */
  kept?: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
}

export interface ServeFlags extends MeshFlags, IceFlags {
  host: string;
  port: string;
  public?: string;
  rendezvous?: string;
  expires?: string;
  json: boolean;
}

const defaultPort = 8642;

/** @param served what the room runs, of the command's options: `program` may have added some of its own */
export function addServe<O extends ServeFlags>(
  program: Command,
  served: (options: O, shape: MeshShape) => Promise<Served>,
): Command {
  const command = program
    .command("serve")
    .description("open a room on this machine and print the link by which others join it")
    .option("--host <address>", "of this machine to listen at", "0.0.0.0")
    .option("--port <number>", "0: any free one", String(defaultPort))
    .option("--public <url>", "how others reach this machine when not at its own address: https://HOST")
    .option("--rendezvous <url>", "a room on a NATS server instead of this machine: nats://HOST:PORT/NAME")
    .option("--expires <minutes>", "how long the link lets others in (default: as long as this runs)")
    .addOption(jsonOption())
    .addHelpText("after", "\nSHARDGRAD_SECRET: the link's secret, for a room that is opened again under the same link.")
    .action((options: O) => runServe(options, served));
  return addMeshOptions(addIceOptions(command));
}

async function runServe<O extends ServeFlags>(
  options: O,
  served: (options: O, shape: MeshShape) => Promise<Served>,
): Promise<void> {
  const { host, json, public: publicUrl } = options;
  const port = portNumber(options.port, { fallback: defaultPort });
  const expiresInMs = options.expires === undefined ? undefined : wholeNumber("expires", options.expires) * 60_000;
  const shape = shapeOf(options);
  const ice = await iceOf(options);
  requireRelay(ice);
  const { pages, part, kept, ...rest } = await served(options, shape);
  const plan = { layout: shape.layout, dims: shape.dims, ...rest, ...(ice && { ice }) };
  const secret = process.env.SHARDGRAD_SECRET || undefined;
  const output = new Output(json);
  await interruptible(async (signal) => {
    const rendezvous =
      options.rendezvous === undefined
        ? await startRendezvous({ host, port, publicUrl, plan, secret, expiresInMs, pages, part })
        : await natsRoom({
            url: options.rendezvous,
            publicUrl,
            plan,
            secret,
            expiresInMs,
            kept,
            note: (text) => output.say(text),
          });
    try {
      output.event({ event: "room", joinUrl: rendezvous.joinUrl, plan: shown(plan) });
      for (const line of linkLines(rendezvous.joinUrl, output)) output.say(line);
      for (const line of planLines(plan, { whole: output.json })) output.say(line);
      await watch(rendezvous, { size: shape.size, output, signal });
    } finally {
      await rendezvous.close();
    }
  });
}

/** A plan without passwords. */
function shown({ ice, ...plan }: Plan): object {
  return { ...plan, ...(ice && { ice: { ...ice, iceServers: iceUrls(ice) } }) };
}

/** As a room of this machine. */
async function natsRoom(options: NatsRoomOptions): Promise<Pick<Rendezvous, "localUrl" | "joinUrl" | "close">> {
  const { openNatsRoom } = await import("../cluster/rendezvous/nats-room.ts");
  const { url, joinUrl, close } = await openNatsRoom(options);
  return { localUrl: url, joinUrl, close: async () => close() };
}

/** Tells who comes and goes, and of runs, until it is interrupted. */
async function watch(
  { localUrl, joinUrl }: Pick<Rendezvous, "localUrl" | "joinUrl">,
  { size, output, signal }: { size: number; output: Output; signal: AbortSignal },
): Promise<void> {
  let told = "";
  let beganMs: number | undefined;
  const room = await joinRoom({
    ...{ url: localUrl, secret: parseLink(joinUrl).secret },
    name: "serve",
    adapter: "",
    role: "watcher",
    events: {
      members(all) {
        const members = all.filter(({ role }) => role === "rank");
        output.event({ event: "members", members });
        const runs = members.some(({ state }) => state === "running");
        if (runs && beganMs === undefined) {
          beganMs = performance.now();
          output.say(`the run has begun on ${size === 1 ? "one rank" : `${size} ranks`}`);
        } else if (!runs && beganMs !== undefined) {
          output.say(`the run has ended, ${durationText(performance.now() - beganMs)} after it began`);
          beganMs = undefined;
        }
        const text = membersText(members, size);
        if (text !== told) output.say(text);
        told = text;
      },
    },
  });
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  room.leave();
}

function linkLines(joinUrl: string, { human }: Output): string[] {
  const nats = joinUrl.startsWith("nats");
  const command = `npx shardgrad join '${joinUrl}'`;
  const note = insecureNote(joinUrl);
  return [
    ...(human.isTTY ? [renderUnicodeCompact(joinUrl, { border: 2 })] : []),
    ...(nats ? [] : [`join with  ${joinUrl}`]),
    `${nats ? "join with" : "or       "}  ${command}`,
    ...(note ? [note] : []),
    "",
  ];
}
