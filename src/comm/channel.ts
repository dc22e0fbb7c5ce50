// One ordered, reliable pipe of messages to one other rank: what a link over workers, WebRTC or a relay is made of.

export interface ChannelListener {
  /** A message, whole; its bytes are the listener's. */
  message(bytes: Uint8Array<ArrayBuffer>): void;
  /** Nothing will come any more, nor go. */
  closed(reason: string): void;
}

export interface Channel {
  /** Gives the bytes away: some channels transfer them. Nothing happens once it is closed. */
  send(bytes: Uint8Array<ArrayBuffer>): void;
  /** Before it nothing is lost: what has come is told then. To be called once. */
  listen(listener: ChannelListener): void;
  /** Resolves when all that was sent has left this side. */
  flush(): Promise<void>;
  /** What was sent before still arrives, then the other side is told; this side hears nothing more. */
  close(): void;
  /** bytes on the wire beside the messages' own, so far */
  readonly overheadBytes: number;
}
