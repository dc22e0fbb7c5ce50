// Errors as plain data: what a rank threw in another thread is thrown again as what it was.

import { DeviceError, DeviceLostError, OutOfMemoryError, UserError } from "../backend/errors.ts";
import { CommunicationError } from "../comm/link.ts";

export interface Thrown {
  name: string;
  message: string;
  stack: string | undefined;
  /** what else it had: numbers and texts */
  fields: Record<string, unknown>;
}

export function thrown(error: unknown): Thrown {
  if (!(error instanceof Error)) return { name: "Error", message: String(error), stack: undefined, fields: {} };
  const fields = Object.fromEntries(
    Object.entries(error).filter(([, value]) => value === null || typeof value !== "object"),
  );
  return { name: error.name, message: error.message, stack: error.stack, fields };
}

const kinds: Readonly<Record<string, { prototype: Error }>> = {
  UserError,
  CommunicationError,
  DeviceError,
  DeviceLostError,
  OutOfMemoryError,
  RangeError,
  TypeError,
};

export function rethrown({ name, message, stack, fields }: Thrown): Error {
  const error: Error = Object.create((kinds[name] ?? Error).prototype);
  return Object.assign(error, fields, { name, message, stack });
}
