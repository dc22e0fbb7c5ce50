// The built demo pages as a server gives them: a folder's files and nothing beside it.

import { readFileSync, realpathSync, statSync } from "node:fs";
import { extname, join, sep } from "node:path";
import { UserError } from "../backend/errors.ts";
import type { Page } from "../cluster/rendezvous/pages.ts";

const types: Readonly<Record<string, string>> = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
};

/** A file of the folder, of a kind that pages are made of. A folder's path stands for its index.html.
 *  @throws UserError when there is no such folder */
export function demoPages(folder: string): (path: string) => Page | undefined {
  if (!statSync(join(folder, "index.html"), { throwIfNoEntry: false }))
    throw new UserError(`the demo pages are not built: got no index.html in ${folder}; run npm run build:demos`);
  const root = realpathSync(folder) + sep;
  return (path) => {
    let file: string;
    try {
      const name = decodeURIComponent(path);
      if (name.includes("\0")) return undefined;
      file = realpathSync(join(root, name.endsWith("/") ? `${name}index.html` : name));
    } catch {
      return undefined;
    }
    const type = types[extname(file)];
    if (!type || !file.startsWith(root) || !statSync(file).isFile()) return undefined;
    return { type, body: readFileSync(file) };
  };
}
