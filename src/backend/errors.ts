// Errors a caller may want to tell apart. A backend throws them at the call that caused them, or, where
// the platform only learns of them later, at the next call, with `call` naming the one that did.

/** A mistake in what the user asked for: one sentence, shown without a stack trace. */
export class UserError extends Error {
  override name = "UserError";
}

/** Base of everything a device can do to a run. `call` names the backend call that caused it. */
export class DeviceError extends Error {
  override name = "DeviceError";
  constructor(
    message: string,
    readonly call: string,
  ) {
    super(message);
  }
}

/** An allocation the device cannot give: beyond its limits, or its memory is used up. */
export class OutOfMemoryError extends DeviceError {
  override name = "OutOfMemoryError";
}

/** The device went away (driver reset, unplugged, tab in the background); nothing on it can be read any more. */
export class DeviceLostError extends DeviceError {
  override name = "DeviceLostError";
}

/** The device refused a command as malformed. A bug in this library, never the user's data. */
export class ValidationError extends DeviceError {
  override name = "ValidationError";
}

/** States what must hold in this library's own logic; its failure is our bug. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`shardgrad bug: ${message}`);
}
