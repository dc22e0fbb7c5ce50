// A WebSocket as a room's wire: what it may hold back, how long it may take to close, what counts as broken.

import type { WebSocket } from "ws";
import { bounds, type FromRoom } from "./protocol.ts";
import type { Room, Wire } from "./room.ts";

/** A member that does not read what it is sent is dropped at so many bytes. */
const mostBufferedBytes = 4 * 1024 * 1024;
/** for the other side to answer a close, before the connection is cut */
const closeMs = 500;

/** Makes a WebSocket a room's wire. */
export function attach(room: Room, socket: WebSocket): void {
  const wire: Wire = {
    send(message) {
      if (socket.readyState !== socket.OPEN) return;
      if (socket.bufferedAmount > mostBufferedBytes) socket.terminate();
      else socket.send(JSON.stringify(message));
    },
    close(reason) {
      socket.close(1008, cut(reason));
      setTimeout(() => socket.terminate(), closeMs).unref();
    },
  };
  const connection = room.connect(wire);
  socket.on("message", (data, isBinary) => {
    if (isBinary) connection.refuse("a message is no text");
    else connection.receive(String(data));
  });
  socket.on("error", ({ code }: NodeJS.ErrnoException) => {
    if (code === "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH")
      connection.refuse(`a message has more than ${bounds.messageBytes} bytes`);
    else if (code?.startsWith("WS_ERR_")) connection.refuse("its WebSocket breaks the rules of WebSockets");
  });
  socket.on("close", () => connection.closed());
}

/** Tells who came for a room that there is none: a browser says nothing of a handshake that was refused. */
export function turnAway(socket: WebSocket, reason: string): void {
  socket.on("error", () => {});
  socket.send(JSON.stringify({ kind: "dropped", reason, final: true } satisfies FromRoom));
  socket.close(1008, cut(reason));
  setTimeout(() => socket.terminate(), closeMs).unref();
}

/** As long as a close frame has room for, 123 bytes, of which a character takes up to 3. */
const cut = (reason: string) => reason.slice(0, 41);
