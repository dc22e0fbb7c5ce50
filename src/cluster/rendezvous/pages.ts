// What a rendezvous serves over plain HTTP: the room's own page, its script, and whatever pages it was given.

import script from "./page.script";

export interface Page {
  /** media type */
  type: string;
  body: string | Uint8Array;
  /** elsewhere: an address that has it. What follows a # in the one that was asked for goes along. */
  location?: string;
}

/** Pages are isolated from other origins: browsers share memory between threads only then. */
export const isolationHeaders = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "X-Frame-Options": "DENY",
} as const;

/** Of the room's own page, which loads one script and talks to one socket. `'self'` covers WebSockets in browsers of 2022 and later. */
const ownPolicy =
  "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'";

const scriptPath = "/room.js";

/** The page of the room at `path`, and the script of all such pages; undefined for anything else.
 *  @param part the page that takes part in a run, a path; undefined: only terminals do */
export function ownPage(
  path: string,
  { rooms, part }: { rooms: { has(path: string): boolean }; part?: string },
): (Page & { policy: string }) | undefined {
  if (path === scriptPath) return { type: "text/javascript; charset=utf-8", body: script, policy: ownPolicy };
  if (!rooms.has(path)) return undefined;
  return { type: "text/html; charset=utf-8", body: html({ path, part }), policy: ownPolicy };
}

/** Room paths have no character that HTML or a query takes for its own. */
function html({ path, part }: { path: string; part?: string }): string {
  const way = part
    ? `<p><a id="take" href="${escaped(part)}?room=${path}">Agree, and take part with this device</a></p>`
    : `<p>To take part, run this in a terminal; it asks once more:</p><pre id="command"></pre>`;
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<title>shardgrad: a room</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 40em; margin: 2em auto; padding: 0 1em }
pre, dd { overflow-wrap: anywhere; white-space: pre-wrap }
</style>
<h1>Train together</h1>
<p id="state">Joining the room…</p>
<section id="part" hidden>
<p id="about"></p>
<dl>
<dt>Program</dt><dd id="program"></dd>
<dt>Mesh</dt><dd id="mesh"></dd>
<dt>Options</dt><dd><details><summary>all of them, as JSON</summary><span id="options"></span></details></dd>
</dl>
<p>This device would compute for the run as long as its page or terminal stays open. Close it to stop.</p>
${way}
<h2>Who is there</h2>
<ul id="members"></ul>
</section>
<script src="${scriptPath}"></script>
</html>
`;
}

const escaped = (text: string) => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");
