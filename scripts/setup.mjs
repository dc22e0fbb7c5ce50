// What the tests need beyond npm's packages: Chromium, a NATS server, and on Linux software Vulkan adapters for Node. Finds them, or
// installs them where it may (as root with apt), or says in one sentence what to install. Changes nothing when all is there.

import { accessSync, constants, existsSync, readdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { installDependencies, must, requireNode, root, SetupError, say, script } from "./project.mjs";

const linux = process.platform === "linux";

/** Fields of /etc/os-release, e.g. ID and VERSION_CODENAME. */
function distribution() {
  if (!existsSync("/etc/os-release")) return {};
  const lines = readFileSync("/etc/os-release", "utf8").matchAll(/^(\w+)="?(.*?)"?$/gm);
  return Object.fromEntries([...lines].map(([, name, value]) => [name, value]));
}

const mayInstall = () =>
  linux && process.getuid() === 0 && ["debian", "ubuntu"].includes(distribution().ID) && existsSync("/usr/bin/apt-get");

let listsUpdated = false;
async function apt(packages, { release } = {}) {
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

// ---- Chromium ---------------------------------------------------------------------------------------------------------

function executable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Ubuntu's chromium-browser package is a script that only asks for a snap. */
const asksForSnap = (path) =>
  path.endsWith("/chromium-browser") &&
  !existsSync("/snap/bin/chromium") &&
  readFileSync(path).includes("snap install");

async function findChromium() {
  const named = process.env.CHROMIUM_PATH;
  if (named) {
    if (executable(named)) return named;
    throw new SetupError(
      `CHROMIUM_PATH is ${named}, which is no program; unset it, or set it to Chromium's executable`,
    );
  }
  const names = ["chromium", "google-chrome", "google-chrome-stable", "chromium-browser"];
  const places = (process.env.PATH ?? "").split(delimiter).filter(Boolean);
  const applications = ["Google Chrome.app/Contents/MacOS/Google Chrome", "Chromium.app/Contents/MacOS/Chromium"];
  const candidates = [
    ...names.flatMap((name) => places.map((place) => join(place, name))),
    ...applications.map((path) => join("/Applications", path)),
  ];
  const found = candidates.find((path) => executable(path) && !asksForSnap(path));
  if (found || !existsSync(playwrightBrowsers())) return found;
  // Loading Playwright takes a third of a second: only where it has downloaded a browser.
  const { chromium } = await import("playwright-core");
  return executable(chromium.executablePath()) ? chromium.executablePath() : undefined;
}

function playwrightBrowsers() {
  if (process.env.PLAYWRIGHT_BROWSERS_PATH) return process.env.PLAYWRIGHT_BROWSERS_PATH;
  if (process.platform === "darwin") return join(homedir(), "Library/Caches/ms-playwright");
  if (process.platform === "win32") return join(process.env.LOCALAPPDATA ?? homedir(), "ms-playwright");
  return join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "ms-playwright");
}

async function installChromium() {
  if (mayInstall() && distribution().ID === "debian") {
    await apt(["chromium"]);
  } else {
    say("downloading Chromium (playwright-core install chromium)");
    const cli = join(root, "node_modules/playwright-core/cli.js");
    const withLibraries = mayInstall() ? ["--with-deps"] : [];
    await must(process.execPath, [cli, "install", ...withLibraries, "--no-shell", "chromium"], {
      failure: "no Chromium here and none could be downloaded; install Chromium or Chrome, or set CHROMIUM_PATH to it",
    });
  }
  const found = await findChromium();
  if (!found) throw new SetupError("Chromium was installed but is not found; set CHROMIUM_PATH to its executable");
  return found;
}

// ---- NATS -------------------------------------------------------------------------------------------------------------

/** Debian keeps servers where only root's PATH looks. */
function findNatsServer() {
  const places = [...(process.env.PATH ?? "").split(delimiter).filter(Boolean), "/usr/sbin", "/usr/local/sbin"];
  return places.map((place) => join(place, "nats-server")).find(executable);
}

/** The executable of nats-server, installed where it is missing. Tests start servers of their own with it.
 *  @returns {Promise<string>}
 *  @throws SetupError with what to install */
export async function natsServer() {
  const advice =
    "install nats-server (the package of Debian, Ubuntu or Homebrew, or a release of nats.io) so that PATH has it";
  const there = findNatsServer();
  if (there) return there;
  if (!mayInstall()) throw new SetupError(`the tests need a NATS server: ${advice}`);
  await apt(["nats-server"]);
  const found = findNatsServer();
  if (!found) throw new SetupError(`nats-server was installed but is not found: ${advice}`);
  return found;
}

// ---- Vulkan -----------------------------------------------------------------------------------------------------------

const firstBelow = (folders, pattern) => {
  for (const folder of folders.filter(existsSync)) {
    const name = readdirSync(folder).find((entry) => pattern.test(entry));
    if (name) return join(folder, name);
  }
  return undefined;
};

const libraryFolders = [
  "/usr/lib",
  "/usr/lib64",
  "/lib",
  "/usr/local/lib",
  `/usr/lib/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`,
];
const findLoader = () => firstBelow(libraryFolders, /^libvulkan\.so\.1/);

/** Lavapipe's driver manifest, of a Mesa that Dawn accepts. The last part of the manifest's api_version is the number of the Vulkan
 *  headers the driver was built with, which grows through all of Vulkan 1 and so tells Mesa's age: 230 in Mesa 22.3 (which Dawn
 *  refuses), 274 in 24.0, 305 in 25.0. */
function findLavapipe() {
  const folders = ["/etc", "/usr/local/share", "/usr/share"].map((folder) => join(folder, "vulkan/icd.d"));
  const manifest = firstBelow(folders, /^lvp_icd.*\.json$/);
  if (!manifest) return undefined;
  const headers = Number(JSON.parse(readFileSync(manifest, "utf8")).ICD.api_version.split(".")[2]);
  return headers >= 274 ? manifest : undefined;
}

/** SwiftShader's driver manifest lies beside Chromium's real executable. */
function findSwiftshader(chromium) {
  const folders = [
    dirname(realpathSync(chromium)),
    "/usr/lib/chromium",
    "/opt/google/chrome",
    "/snap/chromium/current/usr/lib/chromium-browser",
  ];
  return firstBelow(folders, /^vk_swiftshader_icd\.json$/);
}

/** Adds the release's backports beside the machine's own entry for that release: same server, same key. */
function addBackports(codename) {
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

async function installLavapipe() {
  const advice = "install libvulkan1 and mesa-vulkan-drivers (Mesa 24 or later; on Debian 12 from bookworm-backports)";
  if (!mayInstall()) throw new SetupError(`the tests need a software Vulkan adapter (Mesa's lavapipe): ${advice}`);
  const { VERSION_CODENAME } = distribution();
  const packages = ["libvulkan1", "mesa-vulkan-drivers"];
  if (VERSION_CODENAME === "bookworm") {
    addBackports(VERSION_CODENAME);
    await apt(packages, { release: `${VERSION_CODENAME}-backports` });
  } else await apt(packages);
  const found = findLavapipe();
  if (!found || !findLoader()) {
    throw new SetupError(`this system's mesa-vulkan-drivers is too old for Dawn: ${advice}`);
  }
  return found;
}

/** Finds or installs everything.
 *  @returns {Promise<{ chromium: string, nats: string, lavapipe?: string, swiftshader?: string }>} Chromium's executable, that of
 *   nats-server and, on Linux, the two Vulkan driver manifests
 *  @throws SetupError with what to install */
export async function setUp() {
  const chromium = (await findChromium()) ?? (await installChromium());
  const nats = await natsServer();
  if (!linux) return { chromium, nats };
  const lavapipe = (findLoader() && findLavapipe()) || (await installLavapipe());
  const swiftshader = findSwiftshader(chromium);
  if (!swiftshader) {
    throw new SetupError(
      `no vk_swiftshader_icd.json beside ${chromium}; install Chromium as your distribution or Playwright packages it`,
    );
  }
  return { chromium, nats, lavapipe, swiftshader };
}

/** The environment in which Node's Vulkan loader sees this driver alone. */
export const vulkanDriver = (manifest) => ({ VK_DRIVER_FILES: manifest, VK_ICD_FILENAMES: manifest });

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await script(async () => {
    requireNode();
    await installDependencies();
    for (const [name, path] of Object.entries(await setUp())) say(`${name}: ${path}`);
  });
}
