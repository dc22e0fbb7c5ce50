// Devices and networks as people know them, for the names of the package's profiles.

const deviceTitles: Readonly<Record<string, string>> = {
  ...{ a100: "NVIDIA A100, 80 GB", h100: "NVIDIA H100, 80 GB", h200: "NVIDIA H200, 141 GB" },
  meluxina: "NVIDIA A100, 40 GB (MeluXina)",
  ...{ m1: "Apple M1", m4: "Apple M4", laptop: "mid-range laptop", phone: "phone of 2023" },
  ci: "test server, 2 CPU cores",
};

const networkTitles: Readonly<Record<string, string>> = {
  ...{ lan: "Ethernet, between pages", "lan-node": "Ethernet, between processes", wifi: "one Wi-Fi for all" },
  ...{ wan: "Internet, gigabit lines", home: "Internet, each at home", homes: "Internet, homes of 4 on Wi-Fi" },
  cable: "Internet, each on cable",
};

/** Of a profile with a device; its name where there is no other. */
export const deviceTitle = (profile: string): string => deviceTitles[profile] ?? profile;

/** Of a profile with a network, which may be a device's; its name where there is no other. */
export const networkTitle = (profile: string): string =>
  networkTitles[profile] ?? (profile in deviceTitles ? `of ${deviceTitles[profile]}` : profile);
