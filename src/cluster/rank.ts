// What a rank's program is given, wherever the rank runs.

import type { Backend } from "../backend/backend.ts";
import type { Link } from "../comm/link.ts";
import type { Asked } from "../train/controls.ts";

/** The answer to what a rank tells, the same for all ranks that told as much. */
export interface Reply {
  /** somebody still listens */
  goOn: boolean;
  /** the run is to end early */
  aborted: boolean;
  /** of a training run, since the reply before */
  asked?: Asked;
}

/** What a program gets. */
export interface RankContext {
  link: Link;
  backend: Backend;
  /** Hands plain data to whoever started the run, and waits until the other ranks have told as much. */
  tell(item: unknown): Promise<Reply>;
}

/** A program that users write: the default export of a module that ranks import. `options` are plain data, and so is what it returns. */
export type RankProgram = (context: RankContext, options: unknown) => Promise<unknown>;
