// Text to token ids and back: one token a character of the corpus, or one a byte of UTF-8. Learns no merges.

import { UserError } from "../backend/errors.ts";

export interface Tokenizer {
  readonly name: "char" | "byte";
  readonly vocabSize: number;
  /** @throws UserError for a character outside the vocabulary */
  encode(text: string): Int32Array;
  /** @throws UserError for an id outside the vocabulary */
  decode(ids: ArrayLike<number>): string;
  /** what tokenizerFromJson reads */
  toJSON(): TokenizerJson;
}

export type TokenizerJson = { name: "byte" } | { name: "char"; characters: string };

/** The distinct characters (code points) of `text`, sorted by code point: the first has id 0. */
export function charTokenizer(text: string): Tokenizer {
  const characters = [...new Set(text)].sort((a, b) => codePoint(a) - codePoint(b));
  const ids = new Map(characters.map((character, id) => [character, id]));
  const vocabSize = characters.length;
  return {
    name: "char",
    vocabSize,
    encode(text) {
      const encoded = new Int32Array(text.length);
      let length = 0;
      for (const character of text) {
        const id = ids.get(character);
        if (id === undefined) {
          throw new UserError(
            `got the character ${name(character)}, need one of the ${vocabSize} the tokenizer was made from; use a text without it, or the byte tokenizer`,
          );
        }
        encoded[length++] = id;
      }
      return encoded.slice(0, length);
    },
    decode(ids) {
      const pieces: string[] = [];
      for (let i = 0; i < ids.length; i++) pieces.push(characters[inVocabulary(ids[i], vocabSize)]);
      return pieces.join("");
    },
    toJSON: () => ({ name: "char", characters: characters.join("") }),
  };
}

/** The 256 bytes of UTF-8. Knows every text; a lone surrogate, which UTF-8 cannot hold, becomes U+FFFD. */
export function byteTokenizer(): Tokenizer {
  return {
    name: "byte",
    vocabSize: 256,
    encode: (text) => Int32Array.from(new TextEncoder().encode(text)),
    decode(ids) {
      const bytes = new Uint8Array(ids.length);
      for (let i = 0; i < ids.length; i++) bytes[i] = inVocabulary(ids[i], 256);
      // Streaming holds back a last character that is not whole yet, as a sample may stop inside one.
      return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes, { stream: true });
    },
    toJSON: () => ({ name: "byte" }),
  };
}

/** @throws UserError when `json` is not what toJSON gives */
export function tokenizerFromJson(json: unknown): Tokenizer {
  const { name, characters } = (json ?? {}) as { name?: unknown; characters?: unknown };
  if (name === "byte") return byteTokenizer();
  if (name === "char" && typeof characters === "string" && characters.length > 0) return charTokenizer(characters);
  throw new UserError(
    'got a tokenizer this version does not know, need {"name": "byte"} or {"name": "char", "characters": "..."}',
  );
}

function inVocabulary(id: number, vocabSize: number): number {
  if (Number.isInteger(id) && id >= 0 && id < vocabSize) return id;
  throw new UserError(
    `got token id ${id}, need a whole number from 0 to ${vocabSize - 1}; use the tokenizer the ids were made with`,
  );
}

function codePoint(character: string): number {
  return character.codePointAt(0) as number;
}

function name(character: string): string {
  return `${JSON.stringify(character)} (U+${codePoint(character).toString(16).toUpperCase().padStart(4, "0")})`;
}
