// Messages that only members of a room can make, and read: AES-GCM with a key from the room's secret. Its tag is a MAC over the bytes and the
// subject they go to, which WebCrypto compares in constant time; who speaks, and the how-manieth time, is among the bytes.

import { RendezvousError } from "./connection.ts";

/** A link's secret has 128 bits, but people choose theirs: each guess at one shall cost a tenth of a second. */
const iterations = 100_000;
const nonceBytes = 12;
/** of nonce and tag */
export const sealBytes = nonceBytes + 16;

const utf8 = new TextEncoder();

export class Seal {
  readonly #key: CryptoKey;

  private constructor(key: CryptoKey) {
    this.#key = key;
  }

  /** @throws RendezvousError in a page without WebCrypto */
  static async of({ secret, room }: { secret: string; room: string }): Promise<Seal> {
    const subtle = globalThis.crypto?.subtle as SubtleCrypto | undefined;
    if (!subtle) throw new RendezvousError("a page needs https, or localhost, to join a room on NATS: open it there");
    const password = await subtle.importKey("raw", utf8.encode(secret), "PBKDF2", false, ["deriveKey"]);
    const salt = utf8.encode(`shardgrad ${room}`);
    const how = { name: "PBKDF2", hash: "SHA-256", salt, iterations };
    return new Seal(
      await subtle.deriveKey(how, password, { name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]),
    );
  }

  async close(bytes: Uint8Array<ArrayBuffer>, subject: string): Promise<Uint8Array<ArrayBuffer>> {
    const iv = crypto.getRandomValues(new Uint8Array(nonceBytes));
    const how = { name: "AES-GCM", iv, additionalData: utf8.encode(subject) };
    const body = new Uint8Array(await crypto.subtle.encrypt(how, this.#key, bytes));
    const sealed = new Uint8Array(nonceBytes + body.length);
    sealed.set(iv);
    sealed.set(body, nonceBytes);
    return sealed;
  }

  /** @returns undefined for what nobody with the secret has sealed for this subject */
  async open(sealed: Uint8Array, subject: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    if (sealed.length < sealBytes) return undefined;
    const iv = sealed.slice(0, nonceBytes);
    const how = { name: "AES-GCM", iv, additionalData: utf8.encode(subject) };
    try {
      return new Uint8Array(await crypto.subtle.decrypt(how, this.#key, sealed.slice(nonceBytes)));
    } catch {
      return undefined;
    }
  }
}
