// The profiles that come with the package, as their files say them: devices, then networks alone.

import a100 from "../../profiles/a100.json" with { type: "json" };

export const profileFiles: Readonly<Record<string, unknown>> = { a100 };
