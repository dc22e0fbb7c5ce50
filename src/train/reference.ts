// Replaying a reference run as part of the public API: a page that only trains does not load what that takes.

import type { VerifyResult } from "./events.ts";
import type { VerifyOptions } from "./verify.ts";

/** Replays a reference run and measures how far this library's numbers are from it.
 *  @throws UserError when a file is malformed, or names or shapes do not fit the config */
export const verifyReference = async (options: VerifyOptions): Promise<VerifyResult> =>
  (await import("./verify.ts")).verifyReference(options);
