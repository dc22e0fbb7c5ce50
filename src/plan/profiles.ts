// The profiles that come with the package.

import a100 from "../../profiles/a100.json" with { type: "json" };
import { UserError } from "../backend/errors.ts";
import { nearest } from "../nn/fields.ts";
import { type Profile, parseProfile } from "./profile.ts";

const files: Readonly<Record<string, unknown>> = { a100 };

export const profileNames = Object.keys(files);

/** @throws UserError for a name that none has */
export function profileNamed(name: string): Profile {
  if (Object.hasOwn(files, name)) return parseProfile(files[name]);
  const near = nearest(name, profileNames);
  throw new UserError(
    `there is no profile ${JSON.stringify(name)}; ${near ? `did you mean ${near}? ` : ""}There are ${profileNames.join(", ")}, or give a file's path`,
  );
}
