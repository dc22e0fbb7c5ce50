// `npm run build:demos`: dist/demos, the demo pages as a folder of files for any host; paths in it are relative.
//   npm run build:demos -- train --out build/train     only this page, elsewhere

import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { pages, pathOf } from "../demos/pages.mjs";
import { bundle } from "./bundle.mjs";
import {
  commandOf,
  filesBelow,
  installDependencies,
  newest,
  requireNode,
  root,
  SetupError,
  say,
  script,
} from "./project.mjs";

const defaultFolder = "dist/demos";

const help = `npm run build:demos [-- PAGE ... [--out FOLDER]]

Makes the demo pages, or those named, for any host of static files.

  --out FOLDER   ${defaultFolder} by default
`;

/** What a page may do: nothing of another origin. Threads start from texts of the page's own scripts. */
export const policy = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self' blob:",
  "style-src 'self'",
  "img-src 'self' data: blob:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");

/** Title and first sentence are there before any script. */
function html({ name, title, about }, { hasStyle }) {
  const own = name === "start" ? "start/" : "";
  const heading = name === "start" ? title : `${title} · shardgrad`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="${escaped(policy)}">
<meta name="description" content="${escaped(about)}">
<title>${escaped(heading)}</title>
<link rel="icon" href="${name === "start" ? "" : "../"}icon.svg">
${hasStyle ? `<link rel="stylesheet" href="${own}page.css">\n` : ""}<script type="module" src="${own}page.js"></script>
</head>
<body>
<main>
<div>
<h1>${escaped(title)}</h1>
<p class="lede">${escaped(about)}</p>
</div>
<noscript><p>This page is a program: it needs JavaScript.</p></noscript>
</main>
</body>
</html>
`;
}

/** Characters of the sources that a page fetches: a small model learns no more of more in some minutes, and all of them weigh as much as
 *  a page may. */
const mostOfSources = 300_000;

/** The text that the Train page begins with: this project's own sources, joined as `shardgrad train` does it. */
function sources() {
  const files = [...filesBelow("src", /\.ts$/), ...filesBelow("shaders", /\.wgsl$/)];
  const whole = files.map((file) => readFileSync(join(root, file), "utf8").replaceAll("\r\n", "\n")).join("\n");
  return whole.slice(0, mostOfSources);
}

/** Pages and their workers. */
function entries(names) {
  const unknown = names.filter((name) => !pages.some((page) => page.name === name));
  if (unknown.length > 0)
    throw new SetupError(
      `got ${unknown.join(", ")}, which is no demo; need ${pages.map(({ name }) => name).join(", ")}`,
    );
  const made = pages.filter(({ name }) => names.length === 0 || names.includes(name));
  const workers = made.map(({ name }) => `demos/${name}/worker.ts`).filter((file) => existsSync(join(root, file)));
  return { made, entryPoints: [...made.map(({ name }) => `demos/${name}/page.tsx`), ...workers] };
}

/** @param {{ names?: readonly string[], outdir?: string }} [options] names: pages to build, all when empty; outdir: folder below the
 *  project's root, in which nothing else stays
 *  @throws SetupError when the sources do not bundle */
export async function buildDemos({ names = [], outdir = defaultFolder } = {}) {
  const { made, entryPoints } = entries(names);
  let metafile;
  try {
    ({ metafile } = await bundle({
      ...{ entryPoints, outdir, outbase: "demos", splitting: true, platform: "browser", metafile: true },
      ...{
        chunkNames: "chunks/[name]-[hash]",
        entryNames: "[dir]/[name]",
        minify: true,
        jsx: "automatic",
        jsxImportSource: "preact",
      },
    }));
  } catch (error) {
    const lines = (error.errors ?? []).map(({ text, location }) =>
      location ? `${location.file}:${location.line}: ${text}` : text,
    );
    throw lines.length > 0 ? new SetupError(`the demos do not build:\n${lines.join("\n")}`) : error;
  }
  const written = new Set(Object.keys(metafile.outputs));
  const write = (path, text) => {
    mkdirSync(dirname(join(root, outdir, path)), { recursive: true });
    writeFileSync(join(root, outdir, path), text);
    written.add(`${outdir}/${path}`);
  };
  for (const page of made)
    write(`${pathOf(page.name)}index.html`, html(page, { hasStyle: written.has(`${outdir}/${page.name}/page.css`) }));
  write("icon.svg", readFileSync(join(root, "demos/kit/icon.svg"), "utf8"));
  write("sources.txt", sources());
  // GitHub Pages would leave out what begins with an underscore, and run the folder through Jekyll.
  write(".nojekyll", "");
  for (const file of filesBelow(outdir).filter((name) => !written.has(name))) rmSync(join(root, file), { force: true });
}

/** Builds where dist/demos is missing or older than what it is made from. */
export async function ensureDemosBuilt() {
  const made = join(root, defaultFolder, "index.html");
  const from = ["src", "shaders", "wasm", "scripts", "demos", "profiles"].flatMap((folder) => filesBelow(folder));
  if (existsSync(made) && statSync(made).mtimeMs >= newest([...from, "package-lock.json"])) return;
  say("building the demos");
  await buildDemos();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await script(async () => {
    requireNode();
    const options = { out: { type: "string", default: defaultFolder } };
    const asked = commandOf({ command: "npm run build:demos", help, options });
    if (!asked) return;
    const { values, positionals: names } = asked;
    await installDependencies();
    await buildDemos({ names, outdir: values.out });
    say(`${values.out}: open it through a web server; npm run demo is one`);
  });
}
