// Options that several commands share.

import { type Command, Option } from "commander";
import { UserError } from "../backend/errors.ts";
import { createBackend, type DeviceChoice, type OpenBackend, resolveBackend } from "../backend/select.ts";
import type { Ranks, Where } from "../cluster/ranks.ts";
import type { IceOptions } from "../comm/ice.ts";
import { releaseWebRtc } from "../comm/webrtc.ts";
import { type LayoutName, layoutNames, type MeshShape, meshShape, parseMesh } from "../parallel/shape.ts";
import { addIceOptions, type IceFlags, iceOf, requireRelay } from "./ice.ts";

/** What computes, as given on the command line. */
export interface BackendFlags {
  backend: DeviceChoice;
  threads?: string;
  /** of commands with --no-tune: false when that was given */
  tune?: boolean;
}

export const addBackendOptions = (command: Command): Command =>
  command
    .addOption(new Option("--backend <name>", "what computes").choices(["auto", "webgpu", "cpu"]).default("auto"))
    .option("--threads <count>", "of the cpu backend (default: as many as the machine runs at once)");

/** For commands that call kernels often enough to gain from the fastest. Others take the fixed table: what they say does not depend on
 *  what was measured before. */
export const addTuneOption = (command: Command): Command =>
  command.option(
    "--no-tune",
    "of webgpu: a fixed choice of kernels, the same bits in every run, instead of the fastest measured here",
  );

/** @throws UserError for threads that are no whole number from 1, or an adapter that is not there */
export const openBackend = ({ backend, threads, tune = false }: BackendFlags): Promise<OpenBackend> =>
  createBackend({
    backend,
    threads: threads === undefined ? undefined : wholeNumber("threads", threads),
    tune,
    tell: (line) => process.stderr.write(`${line}\n`),
  });

/** How ranks are joined, as given on the command line. */
export interface LinkFlags extends IceFlags {
  link: Ranks["link"];
}

export const addLinkOption = (command: Command): Command =>
  addIceOptions(command).addOption(
    new Option(
      "--link <name>",
      "how ranks are joined: loopback shares one device of this process, worker gives each rank a thread and a device of its own, webrtc does too and joins them as ranks of different machines would be",
    )
      .choices(["loopback", "worker", "webrtc"])
      .default("loopback"),
  );

/** Ranks that can run, and what is to be told of them. */
export interface OpenRanks {
  where: Where;
  note: string;
  dispose(): void;
}

/** @throws UserError for servers that the link does not use, and as iceOf */
export async function iceOfLink(flags: LinkFlags): Promise<IceOptions | undefined> {
  const ice = await iceOf(flags);
  if (ice && flags.link !== "webrtc")
    throw new UserError(`got STUN and TURN servers with --link ${flags.link}; they are for --link webrtc`);
  requireRelay(ice);
  return ice;
}

/** @throws UserError as openBackend and iceOfLink */
export async function openRanks(flags: BackendFlags & LinkFlags): Promise<OpenRanks> {
  const ice = await iceOfLink(flags);
  if (flags.link === "loopback") {
    const { backend, note } = await openBackend(flags);
    return { where: { backend }, note, dispose: () => backend.dispose() };
  }
  const { workerRanks } = await import("../cluster/workers.ts");
  const threads = flags.threads === undefined ? undefined : wholeNumber("threads", flags.threads);
  const { backend, note } = await resolveBackend(flags.backend);
  return {
    where: { ranks: workerRanks({ backend, threads, link: flags.link, ...ice }) },
    note: `${note}; each rank in a thread of its own${flags.link === "webrtc" ? ", joined by WebRTC" : ""}`,
    dispose: () => void releaseWebRtc(),
  };
}

export const jsonOption = () => new Option("--json", "JSON lines on stdout, words for people on stderr").default(false);

/** How ranks share the work, as given on the command line. */
export interface MeshFlags {
  layout?: LayoutName;
  mesh?: string;
}

export function addMeshOptions(command: Command, layouts: readonly LayoutName[] = layoutNames): Command {
  return command
    .addOption(
      new Option(
        "--layout <name>",
        "how ranks share a model (default: serial; with --mesh, what its axes say)",
      ).choices(layouts),
    )
    .option(
      "--mesh <ranks>",
      `P ranks for ${layouts.filter((name) => name.startsWith("1d")).join(" and ")}, q x q for 2d, q x q x d for 2.5d: 8, 2x2, 2x2x2`,
    );
}

/** @throws UserError when layout and mesh do not fit each other */
export const shapeOf = ({ layout, mesh }: MeshFlags): MeshShape =>
  meshShape({ layout, dims: mesh === undefined ? undefined : parseMesh(mesh) });

/** "layout 2d on 2 x 2 = 4 ranks" */
export const meshText = ({ layout, dims, size }: MeshShape): string =>
  `layout ${layout} on ${dims.length > 1 ? `${dims.join(" x ")} = ` : ""}${size} ranks`;

/** @throws UserError for what is no whole number from 1; `name` as on the command line */
export function wholeNumber(name: string, text: string, fallback?: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : 0;
  if (value >= 1 && value < 2 ** 31) return value;
  const example = fallback === undefined ? "" : `; the default is ${fallback}`;
  throw new UserError(`got --${name} ${text === "" ? '""' : text}, need a whole number from 1 to 2147483647${example}`);
}
