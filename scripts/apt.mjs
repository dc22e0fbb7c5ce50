// Debian's and Ubuntu's packages: whether this may install some, and from where.

import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { must, SetupError, say } from "./project.mjs";

/** Fields of /etc/os-release, e.g. ID and VERSION_CODENAME. */
export function distribution() {
  if (!existsSync("/etc/os-release")) return {};
  const lines = readFileSync("/etc/os-release", "utf8").matchAll(/^(\w+)="?(.*?)"?$/gm);
  return Object.fromEntries([...lines].map(([, name, value]) => [name, value]));
}

export const mayInstall = () =>
  process.platform === "linux" &&
  process.getuid() === 0 &&
  ["debian", "ubuntu"].includes(distribution().ID) &&
  existsSync("/usr/bin/apt-get");

let listsUpdated = false;
/** Installs packages, of the release where one is named.
 *  @throws SetupError */
export async function apt(packages, { release } = {}) {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const lock = ["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"];
  if (!listsUpdated) {
    say("reading the package lists (apt-get update)");
    const failure = "apt-get update failed (its output is above); check the network, then run this again";
    await must("apt-get", [...lock, "-q", "update"], { env, failure });
    listsUpdated = true;
  }
  say(`installing ${packages.join(" ")} (apt-get)`);
  const from = release ? ["-t", release] : [];
  const failure = `apt-get could not install ${packages.join(" ")} (its output is above); install it by hand, then run this again`;
  await must("apt-get", [...lock, "-q", "-y", "--no-install-recommends", ...from, "install", ...packages], {
    env,
    failure,
  });
}

/** Adds the release's backports beside the machine's own entry for that release: same server, same key. */
export function addBackports(codename) {
  const folder = "/etc/apt/sources.list.d";
  const names = existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
  const read = (pattern) => names.filter((name) => pattern.test(name)).map((name) => readFileSync(name, "utf8"));
  const classic = read(/\.list$/);
  if (existsSync("/etc/apt/sources.list")) classic.push(readFileSync("/etc/apt/sources.list", "utf8"));
  const entries = [...read(/\.sources$/).flatMap(deb822Entries), ...classic.flatMap(classicEntries)];
  const backports = `${codename}-backports`;
  if (entries.some(({ suites }) => suites.includes(backports))) return;
  const main = entries.find(({ suites, components }) => suites.includes(codename) && components.includes("main"));
  if (!main)
    throw new SetupError(
      `no apt source for ${codename} main was found; add ${backports} yourself, then run this again`,
    );
  const lines = ["Types: deb", `URIs: ${main.uri}`, `Suites: ${backports}`, "Components: main"];
  if (main.signedBy) lines.push(`Signed-By: ${main.signedBy}`);
  say(`adding ${backports} to apt's sources (${folder}/${backports}.sources)`);
  writeFileSync(join(folder, `${backports}.sources`), `${lines.join("\n")}\n`);
  listsUpdated = false;
}

/** Entries of a deb822 sources file: stanzas of `Field: value`, a value's later lines indented. */
export function deb822Entries(text) {
  return text.split(/\n\s*\n/).flatMap((stanza) => {
    const code = stanza.replace(/^#.*\n?/gm, "");
    const field = (name) => code.match(new RegExp(`^${name}:[ \\t]*(.*(?:\\n[ \\t]+.*)*)`, "mi"))?.[1];
    const words = (name) => field(name)?.split(/\s+/).filter(Boolean) ?? [];
    if (!words("Types").includes("deb") || /^no$/i.test(field("Enabled") ?? "")) return [];
    return {
      uri: words("URIs")[0],
      suites: words("Suites"),
      components: words("Components"),
      signedBy: field("Signed-By"),
    };
  });
}

/** Entries of a one-line-style sources file: `deb [option=value ...] uri suite component...`. */
export function classicEntries(text) {
  return [...text.matchAll(/^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+(.*)$/gm)].map(
    ([, options, uri, suite, components]) => ({
      uri,
      suites: [suite],
      components: components.split(/\s+/),
      signedBy: options?.match(/signed-by=(\S+)/i)?.[1],
    }),
  );
}
