import fc from "fast-check";
import { test } from "uvu";
import { equal, is } from "uvu/assert";
import { byteTokenizer, charTokenizer, type Tokenizer, tokenizerFromJson } from "../../src/train/tokenizer.ts";
import { refuses } from "./refusal.ts";

const text = fc.string({ unit: "binary", minLength: 1 });
const copy = (tokenizer: Tokenizer) => tokenizerFromJson(JSON.parse(JSON.stringify(tokenizer)));

test("characters are numbered by code point, not by UTF-16 unit", () => {
  const tokenizer = charTokenizer("b\u{1F600}a\uFFFDb");
  is(tokenizer.vocabSize, 4);
  equal([...tokenizer.encode("ab\uFFFD\u{1F600}")], [0, 1, 2, 3]);
});

test("char: decode(encode(text)) is the text, also after JSON", () => {
  fc.assert(
    fc.property(text, (sample) => {
      const tokenizer = charTokenizer(sample);
      is(tokenizer.decode(tokenizer.encode(sample)), sample);
      is(tokenizer.encode(sample).length, [...sample].length);
      equal(copy(tokenizer).encode(sample), tokenizer.encode(sample));
    }),
  );
});

test("byte: decode(encode(text)) is the text, a byte order mark included", () => {
  const tokenizer = byteTokenizer();
  const back = (sample: string) => is(copy(tokenizer).decode(tokenizer.encode(sample)), sample);
  back("\uFEFFstart");
  fc.assert(fc.property(text, back));
  equal([...tokenizer.encode("é")], [0xc3, 0xa9]);
});

test("byte: a character cut off at the end is held back, a broken one inside shows", () => {
  const tokenizer = byteTokenizer();
  is(tokenizer.decode([0x61, 0xe2, 0x82]), "a");
  is(tokenizer.decode([0xc3, 0x61]), "\uFFFDa");
});

test("an unknown character is named", () => {
  const tokenizer = charTokenizer("abc");
  refuses(() => tokenizer.encode("abd"), /got the character "d" \(U\+0064\), need one of the 3/);
  refuses(() => tokenizer.encode("\u{1F600}"), /U\+1F600/);
  refuses(() => tokenizer.encode("\0"), /"\\u0000" \(U\+0000\)/);
});

test("a token id out of range is refused", () => {
  for (const id of [-1, 3, 1.5, Number.NaN, 2 ** 40]) {
    refuses(() => charTokenizer("abc").decode([0, id]), /got token id .*, need a whole number from 0 to 2/);
  }
  refuses(() => byteTokenizer().decode([256]), /got token id 256, need a whole number from 0 to 255/);
});

test("a tokenizer of another kind is refused", () => {
  for (const json of [null, {}, { name: "bpe" }, { name: "char" }, { name: "char", characters: "" }, "char"]) {
    refuses(() => tokenizerFromJson(json), /got a tokenizer this version does not know/);
  }
});

test.run();
