// What the tests need beyond npm's packages: Chromium, a NATS and a TURN server, and on Linux software Vulkan adapters for Node and networks
// of a test's own. Finds them, or installs them where it may (as root with apt), or says in one sentence what to install. Changes nothing
// when all is there.

import { accessSync, constants, existsSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { addBackports, apt, distribution, mayInstall } from "./apt.mjs";
import { installDependencies, must, requireNode, root, run, SetupError, say, script } from "./project.mjs";

const linux = process.platform === "linux";

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

// ---- Servers ----------------------------------------------------------------------------------------------------------

/** Debian keeps servers, and what configures networks, where only root's PATH looks. */
function findProgram(name) {
  const places = [
    ...(process.env.PATH ?? "").split(delimiter).filter(Boolean),
    "/usr/sbin",
    "/usr/local/sbin",
    "/sbin",
  ];
  return places.map((place) => join(place, name)).find(executable);
}

async function program(name, { from, what, advice }) {
  const there = findProgram(name);
  if (there) return there;
  if (!mayInstall()) throw new SetupError(`the tests need ${what}: ${advice}`);
  await apt([from]);
  const found = findProgram(name);
  if (!found) throw new SetupError(`${from} was installed but ${name} is not found: ${advice}`);
  return found;
}

/** The executable of nats-server, installed where it is missing. Tests start servers of their own with it.
 *  @returns {Promise<string>}
 *  @throws SetupError with what to install */
export const natsServer = () =>
  program("nats-server", {
    from: "nats-server",
    what: "a NATS server",
    advice:
      "install nats-server (the package of Debian, Ubuntu or Homebrew, or a release of nats.io) so that PATH has it",
  });

/** The same of coturn's turnserver.
 *  @returns {Promise<string>}
 *  @throws SetupError with what to install */
export const turnServer = () =>
  program("turnserver", {
    from: "coturn",
    what: "a TURN server",
    advice: "install coturn (the package of Debian, Ubuntu or Homebrew) so that PATH has its turnserver",
  });

// ---- Networks of a test's own -----------------------------------------------------------------------------------------

/** What a command is started with to be root of a network that has no other, which ends with it; undefined with `reason` where the system
 *  gives none. As root, or as any user where users may make namespaces.
 *  @returns {Promise<{ within?: string[], env?: Record<string, string>, reason?: string }>} */
export async function ownNetwork() {
  if (!linux) return { reason: "network namespaces are Linux's" };
  const packages = { ip: "iproute2", unshare: "util-linux", nsenter: "util-linux" };
  const missing = Object.keys(packages).filter((name) => !findProgram(name));
  const wanted = [...new Set(missing.map((name) => packages[name]))];
  if (wanted.length > 0 && mayInstall()) await apt(wanted);
  else if (wanted.length > 0) return { reason: `it has no ${missing.join(", no ")}; install ${wanted.join(" and ")}` };
  const apart = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"];
  // All that a test does there.
  const trial = "mount -t tmpfs none /run && mkdir /run/netns && ip link add probe type bridge && ip netns add probe";
  // Where a user's PATH does not look.
  const PATH = [process.env.PATH, "/usr/sbin", "/sbin"].join(delimiter);
  const env = { ...process.env, PATH };
  let reason = "";
  for (const within of [apart, [...apart, "--user", "--map-root-user"]]) {
    const { code, output } = await run(within[0], [...within.slice(1), "sh", "-c", trial], { env });
    if (code === 0) return { within, env: { PATH, SHARDGRAD_OWN_NETWORK: "1" } };
    reason ||= output.trim().split("\n").at(-1);
  }
  return { reason: `${reason}; run this as root, and in a container with --privileged` };
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
 *  @returns {Promise<{ chromium: string, nats: string, turn: string, lavapipe?: string, swiftshader?: string }>} the executables of
 *   Chromium, nats-server and turnserver and, on Linux, the two Vulkan driver manifests
 *  @throws SetupError with what to install */
export async function setUp() {
  const chromium = (await findChromium()) ?? (await installChromium());
  const servers = { nats: await natsServer(), turn: await turnServer() };
  if (!linux) return { chromium, ...servers };
  const lavapipe = (findLoader() && findLavapipe()) || (await installLavapipe());
  const swiftshader = findSwiftshader(chromium);
  if (!swiftshader) {
    throw new SetupError(
      `no vk_swiftshader_icd.json beside ${chromium}; install Chromium as your distribution or Playwright packages it`,
    );
  }
  return { chromium, ...servers, lavapipe, swiftshader };
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
