// What commands write to: files, links to them, and what is no file.

import { execFileSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { test } from "uvu";
import { equal, is, match, ok } from "uvu/assert";
import { UserError } from "../../src/backend/errors.ts";
import { prepareOutput, writeWhole } from "../../src/cli/files.ts";
import { folder } from "./command.ts";

const own = mkdtempSync(join(folder, "files-"));
const write = async (path: string, text: string) => {
  await prepareOutput(path);
  await writeWhole(path, text);
};
const refused = async (path: string, pattern: RegExp) => {
  const error = await write(path, "text").then(
    () => undefined,
    (error: unknown) => error,
  );
  ok(error instanceof UserError, String(error));
  match(error.message, pattern);
};

test("a file is replaced as a whole, in a folder that is made, and nothing else is left there", async () => {
  const path = join(own, "deep/er/file");
  await write(path, "a longer first text");
  await write(path, "second");
  is(readFileSync(path, "utf8"), "second");
  equal(readdirSync(join(own, "deep/er")), ["file"]);
});

test("a link stays: its target is replaced, or made with its folder where there is none", async () => {
  mkdirSync(join(own, "real"));
  writeFileSync(join(own, "real/there"), "before");
  symlinkSync("real", join(own, "way"));
  for (const [name, target] of [
    ["link", "real/there"],
    ["way/back", "../new/made"],
    ["chain", "way/back2"],
    ["way/back2", join(own, "new/other")],
  ])
    symlinkSync(target, join(own, name));
  for (const [name, target] of [
    ["link", "real/there"],
    ["way/back", "new/made"],
    ["chain", "new/other"],
  ]) {
    await write(join(own, name), `by ${name}`);
    is(lstatSync(join(own, name)).isSymbolicLink(), true, name);
    is(readFileSync(join(own, target), "utf8"), `by ${name}`);
  }
  is(readlinkSync(join(own, "link")), "real/there");
  equal(readdirSync(join(own, "new")).sort(), ["made", "other"]);
});

test("links in a circle and folders are refused", async () => {
  symlinkSync("round", join(own, "round"));
  await refused(join(own, "round"), /round: its links lead in a circle; need a file that can be written/);
  await refused(own, /it is a folder/);
  symlinkSync(own, join(own, "home"));
  await refused(join(own, "home"), /it is a folder/);
});

test("pipes and devices are written into, and stay what they are", async () => {
  const pipe = join(own, "pipe");
  execFileSync("mkfifo", [pipe]);
  // Open for both ways, so that neither end waits for the other.
  const reader = await open(pipe, "r+");
  await write(pipe, "through");
  const { bytesRead, buffer } = await reader.read(Buffer.alloc(100), 0, 100);
  is(buffer.toString("utf8", 0, bytesRead), "through");
  await reader.close();
  is(lstatSync(pipe).isFIFO(), true);
  symlinkSync("/dev/null", join(own, "null"));
  await write(join(own, "null"), "nowhere");
  is(lstatSync("/dev/null").isCharacterDevice(), true);
  is(lstatSync(join(own, "null")).isSymbolicLink(), true);
  // Only some systems have a device that is always full.
  if (existsSync("/dev/full")) {
    symlinkSync("/dev/full", join(own, "full"));
    await refused(join(own, "full"), /full: the disk is full/);
    is(lstatSync("/dev/full").isCharacterDevice(), true);
  }
});

test.run();
