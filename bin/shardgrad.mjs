#!/usr/bin/env node
// The command `shardgrad`. In a checkout it first builds what changed; in a published package dist/ is all there is.

import { existsSync } from "node:fs";

const build = new URL("../scripts/build.mjs", import.meta.url);
let ready = true;
if (existsSync(build)) {
  const { ensureBuilt } = await import(build.href);
  try {
    await ensureBuilt();
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
    ready = false;
  }
}
if (ready) await import("../dist/cli.js");
