// `shardgrad join LINK`: takes part in what a room runs, after asking.

import { hostname } from "node:os";
import { createInterface } from "node:readline/promises";
import type { Command } from "commander";
import type { Backend } from "../backend/backend.ts";
import { UserError } from "../backend/errors.ts";
import { joinRoom } from "../cluster/rendezvous/client.ts";
import { RendezvousError } from "../cluster/rendezvous/connection.ts";
import { parseLink } from "../cluster/rendezvous/link.ts";
import type { RoomClient, Start } from "../cluster/rendezvous/membership.ts";
import { type Plan, samePlan, sizeOfPlan } from "../cluster/rendezvous/protocol.ts";
import type { IceOptions } from "../comm/ice.ts";
import { CommunicationError } from "../comm/link.ts";
import { releaseWebRtc } from "../comm/webrtc.ts";
import { addBackendOptions, addTuneOption, type BackendFlags, jsonOption, openBackend } from "./common.ts";
import { addIceOptions, type IceFlags, iceOf } from "./ice.ts";
import { interruptible } from "./interrupt.ts";
import { harmless, Output } from "./output.ts";
import { membersText, planLines } from "./room-text.ts";

/** A rank's part of a run: resolves when it is done. A CommunicationError is another rank's failure: this one waits for the next start. */
export type TakePart = (part: {
  start: Start;
  backend: Backend;
  /** of the room, without its secret */
  url: string;
  /** a file that has the room's text */
  data?: string;
  /** STUN and TURN servers of this machine's own, beside the room's */
  ice?: IceOptions;
  output: Output;
  signal: AbortSignal;
}) => Promise<void>;

export interface JoinFlags extends BackendFlags, IceFlags {
  name?: string;
  data?: string;
  yes: boolean;
  json: boolean;
}

export function addJoin(program: Command, takePart: TakePart): Command {
  const command = program
    .command("join")
    .description("take part, as a rank, in what a room runs")
    .argument("<link>", "as `shardgrad serve` printed it, with what follows its #: quote it")
    .option("--name <text>", "what others see (default: this machine's name)")
    .option("--data <file>", "the room's text, where you have it: it is not fetched then")
    .option("--yes", "do not ask", false)
    .addOption(jsonOption())
    .action((link: string, options: JoinFlags) => runJoin(link, { options, takePart }));
  return addTuneOption(addBackendOptions(addIceOptions(command)));
}

async function runJoin(link: string, { options, takePart }: { options: JoinFlags; takePart: TakePart }): Promise<void> {
  const { name = hostname(), yes, json, data } = options;
  const place = parseLink(link);
  if (!yes && !process.stdin.isTTY)
    throw new UserError("nobody can be asked here, stdin is no terminal; add --yes to take part without being asked");
  const ice = await iceOf(options);
  const output = new Output(json);
  const { backend, note } = await openBackend(options);
  try {
    output.say(note);
    const adapter = backend.adapter.description;
    await interruptible(async (signal) => {
      const room = await joinRoom({
        ...{ ...place, name, adapter },
        events: {
          note: (text) => output.say(text),
          left: (member, reason) => output.event({ event: "left", member, reason }),
          members: (members) => output.event({ event: "members", members }),
        },
      });
      signal.addEventListener("abort", () => room.leave(), { once: true });
      try {
        await takeParts(room, { takePart, backend, url: place.url, data, ice, output, signal, yes });
      } catch (error) {
        if (!signal.aborted) throw error;
        output.say("left the room");
      } finally {
        room.leave();
      }
    });
  } catch (error) {
    if (!(error instanceof RendezvousError)) throw error;
    process.stderr.write(`error: ${harmless(error.message)}\n`);
    process.exitCode = 1;
  } finally {
    backend.dispose();
    await releaseWebRtc();
  }
}

interface Part {
  takePart: TakePart;
  backend: Backend;
  url: string;
  data: string | undefined;
  ice: IceOptions | undefined;
  output: Output;
  signal: AbortSignal;
  yes: boolean;
}

/** Until a run is done; after another rank's failure it waits for the next start with the others. Asks once, and again for another plan. */
async function takeParts(room: RoomClient, { takePart, yes, ...rest }: Part): Promise<void> {
  const { output, signal } = rest;
  let agreedTo: Plan | undefined;
  for (;;) {
    const { plan } = room;
    if (!agreedTo || !samePlan(agreedTo, plan)) {
      for (const line of planLines(plan, { whole: output.json })) output.say(line);
      output.say(membersText(room.members, sizeOfPlan(plan)));
      if (!yes && !(await asked(output, signal))) return output.say("not taking part");
      agreedTo = plan;
      if (!samePlan(room.plan, plan)) continue;
    }
    output.say("waiting for the others");
    try {
      const start = await room.agree();
      if (await tookPart(start, { takePart, ...rest })) return;
    } catch (error) {
      // Another plan came while it waited: that is asked about.
      if (!(error instanceof RendezvousError) || samePlan(room.plan, plan)) throw error;
    }
  }
}

/** @returns false when another rank failed */
async function tookPart(start: Start, { takePart, ...rest }: Omit<Part, "yes">): Promise<boolean> {
  const { rank, size, generation } = start;
  rest.output.event({ event: "start", rank, size, generation });
  rest.output.say(`started as rank ${rank} of ${size}`);
  try {
    await takePart({ start, ...rest });
    return true;
  } catch (error) {
    start.end(error instanceof Error ? error.message : String(error));
    if (!(error instanceof CommunicationError)) throw error;
    rest.output.say(error.message);
    return false;
  }
}

async function asked({ human }: Output, signal: AbortSignal): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: human });
  terminal.on("SIGINT", () => process.emit("SIGINT"));
  try {
    return /^y(es)?$/i.test((await terminal.question("take part? [y/N] ", { signal })).trim());
  } finally {
    terminal.close();
  }
}
