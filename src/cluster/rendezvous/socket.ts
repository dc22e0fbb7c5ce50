// A WebSocket wherever this runs: the platform's in pages and in Node from 22 on, else the ws package's, loaded when it is needed.

import { bounds, printable } from "./protocol.ts";

export async function openWebSocket(address: string): Promise<WebSocket> {
  if (typeof globalThis.WebSocket === "function") return new WebSocket(address);
  const { WebSocket: NodeWebSocket } = await import("ws");
  // The same calls and events, of which ws has some more.
  return new NodeWebSocket(address, { maxPayload: bounds.answerBytes }) as unknown as WebSocket;
}

/** What a closed socket says of itself, in words. */
export function closeReason({ code, reason }: { code: number; reason: string }): string {
  // A stranger may have written it.
  if (reason !== "") return printable(reason, bounds.reason);
  if (code === 1009) return "a message was too long";
  return code === 1006 ? "the connection broke" : `the connection was closed with code ${code}`;
}
