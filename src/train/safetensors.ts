// The safetensors file format: u64 little-endian header length, JSON header, tensors back to back.
// Believes nothing a file says before checking it. github.com/huggingface/safetensors, "Format".

import { UserError } from "../backend/errors.ts";
import { nearest, show } from "../nn/fields.ts";

export type HostTensor =
  | { dtype: "f32"; shape: readonly number[]; data: Float32Array }
  | { dtype: "i32"; shape: readonly number[]; data: Int32Array };

/** The format's own limit, against headers that take minutes to parse. */
const maxHeaderBytes = 100_000_000;

/** More dims than any model's weight has. */
const maxRank = 8;

/** Names that mean something else in JavaScript objects: a reader that trusts them can be made to run wild. */
const reserved = new Set(["__proto__", "constructor", "prototype"]);

type Decode = (bytes: Uint8Array, name: string) => Float32Array | Int32Array;

/** A view in the element type, or a copy where the file does not align it. Not `slice`: Node's Buffer gives a view for it. */
const aligned = (bytes: Uint8Array, width: number): Uint8Array =>
  bytes.byteOffset % width === 0 ? bytes : new Uint8Array(bytes);

const f32 = (bytes: Uint8Array) => {
  const at = aligned(bytes, 4);
  return new Float32Array(at.buffer, at.byteOffset, at.length / 4);
};
const i32 = (bytes: Uint8Array) => {
  const at = aligned(bytes, 4);
  return new Int32Array(at.buffer, at.byteOffset, at.length / 4);
};
const u16 = (bytes: Uint8Array) => {
  const at = aligned(bytes, 2);
  return new Uint16Array(at.buffer, at.byteOffset, at.length / 2);
};

/** What each dtype of a file is read as. */
const dtypes = new Map<string, { width: number; decode: Decode }>([
  ["F32", { width: 4, decode: f32 }],
  ["I32", { width: 4, decode: i32 }],
  ["F16", { width: 2, decode: (bytes) => Float32Array.from(u16(bytes), halfToFloat) }],
  [
    "BF16",
    { width: 2, decode: (bytes) => new Float32Array(Uint32Array.from(u16(bytes), (bits) => bits << 16).buffer) },
  ],
  ["F64", { width: 8, decode: narrowFloats }],
  ["I64", { width: 8, decode: narrowInts }],
]);

/** Value of an IEEE 754 half. */
function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 0x3ff;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

function narrowFloats(bytes: Uint8Array, name: string): Float32Array {
  const at = aligned(bytes, 8);
  return Float32Array.from(new Float64Array(at.buffer, at.byteOffset, at.length / 8), (value) => {
    if (Number.isFinite(value) && !Number.isFinite(Math.fround(value)))
      throw defect(`${show(name)} holds ${value}, beyond what float32 can`);
    return value;
  });
}

function narrowInts(bytes: Uint8Array, name: string): Int32Array {
  const at = aligned(bytes, 8);
  const wide = new BigInt64Array(at.buffer, at.byteOffset, at.length / 8);
  const narrow = new Int32Array(wide.length);
  for (let i = 0; i < wide.length; i++) {
    narrow[i] = Number(wide[i]);
    if (BigInt(narrow[i]) !== wide[i]) throw defect(`${show(name)} holds ${wide[i]}, beyond what int32 can`);
  }
  return narrow;
}

function defect(message: string): UserError {
  return new UserError(`safetensors: ${message}; use an intact file`);
}

interface Entry {
  name: string;
  dtype: { width: number; decode: Decode };
  shape: number[];
  begin: number;
  end: number;
}

/** Tensors by name, in the file's order. F16 and BF16 are widened to f32, F64 and I64 narrowed. Aligned tensors are views of `bytes`.
 *  @throws UserError for the first defect found */
export function readSafetensors(bytes: Uint8Array): Map<string, HostTensor> {
  const { header, data } = splitFile(bytes);
  const entries: Entry[] = [];
  for (const [name, value] of header) if (name !== "__metadata__") entries.push(parseEntry(name, value));
  requireTiling(entries, data.length);
  const tensors = new Map<string, HostTensor>();
  for (const { name, dtype, shape, begin, end } of entries) {
    const values = dtype.decode(data.subarray(begin, end), name);
    tensors.set(
      name,
      values instanceof Float32Array ? { dtype: "f32", shape, data: values } : { dtype: "i32", shape, data: values },
    );
  }
  return tensors;
}

/** The strings a file carries beside its tensors ("__metadata__").
 *  @throws UserError like readSafetensors, tensors aside */
export function readMetadata(bytes: Uint8Array): Map<string, string> {
  const value = splitFile(bytes).header.find(([name]) => name === "__metadata__")?.[1] ?? {};
  return new Map(Object.entries(value) as [string, string][]);
}

/** The header's entries and the bytes behind it. */
function splitFile(bytes: Uint8Array): { header: [string, unknown][]; data: Uint8Array } {
  if (bytes.length < 8) throw defect(`got ${bytes.length} bytes, need at least the 8 of the header's length`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, 8);
  const length = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
  if (length > bytes.length - 8)
    throw defect(`got a header length of ${length} in a file of ${bytes.length} bytes: truncated, or not safetensors`);
  if (length > maxHeaderBytes) throw defect(`got a header length of ${length}, need at most ${maxHeaderBytes}`);
  let text: string;
  let json: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes.subarray(8, 8 + length));
    json = JSON.parse(text);
  } catch (error) {
    throw defect(error instanceof SyntaxError ? "the header is not JSON" : "the header is not UTF-8");
  }
  if (typeof json !== "object" || json === null || Array.isArray(json))
    throw defect(`the header is ${show(json)}, need an object`);
  requireDistinctKeys(text);
  const header = Object.entries(json);
  for (const [name, value] of header) {
    if (name === "__metadata__" && !isStringMap(value)) throw defect('"__metadata__" is not an object of strings');
  }
  return { header, data: bytes.subarray(8 + length) };
}

function isStringMap(value: unknown): boolean {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((item) => typeof item === "string")
  );
}

/** JSON.parse keeps the last of two equal keys in silence. `text` is valid JSON. */
function requireDistinctKeys(text: string): void {
  const open: (Set<string> | undefined)[] = [];
  for (const [token, colon] of jsonTokens(text)) {
    if (token === "{") open.push(new Set());
    else if (token === "[") open.push(undefined);
    else if (token === "}" || token === "]") open.pop();
    else if (colon) {
      const key = JSON.parse(token) as string;
      const keys = open[open.length - 1];
      if (keys?.has(key)) throw defect(`the header has ${show(key)} twice`);
      if (reserved.has(key)) throw defect(`the header has the reserved name ${show(key)}`);
      keys?.add(key);
    }
  }
}

/** Brackets and strings of valid JSON; `colon` says that a string is a key. */
function* jsonTokens(text: string): Generator<[token: string, colon: boolean]> {
  for (let i = 0; i < text.length; i++) {
    if ("{}[]".includes(text[i])) yield [text[i], false];
    if (text[i] !== '"') continue;
    let end = i + 1;
    while (text[end] !== '"') end += text[end] === "\\" ? 2 : 1;
    let next = end + 1;
    while (" \t\r\n".includes(text[next])) next++;
    yield [text.slice(i, end + 1), text[next] === ":"];
    i = end;
  }
}

function parseEntry(name: string, value: unknown): Entry {
  const fail = (message: string) => defect(`${show(name)} ${message}`);
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw fail(`is ${show(value)}, need an object`);
  const { dtype: dtypeName, shape, data_offsets: offsets, ...rest } = value as Record<string, unknown>;
  const [extra] = Object.keys(rest);
  if (extra !== undefined) throw fail(`has the unknown field ${show(extra)}`);
  const dtype = typeof dtypeName === "string" ? dtypes.get(dtypeName) : undefined;
  if (!dtype) throw fail(`has dtype ${show(dtypeName)}, need ${[...dtypes.keys()].join(", ")}`);
  const isSize = (size: unknown): size is number => typeof size === "number" && Number.isSafeInteger(size) && size >= 0;
  if (!Array.isArray(shape) || shape.length > maxRank || !shape.every(isSize)) {
    throw fail(`has a shape that is not a list of at most ${maxRank} whole numbers from 0`);
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize))
    throw fail("has data_offsets that are not two whole numbers");
  const [begin, end] = offsets;
  const byteLength = shape.reduce((product, size) => product * size, dtype.width);
  if (end < begin) throw fail(`begins at ${begin} and ends at ${end}`);
  if (end - begin !== byteLength)
    throw fail(`has ${end - begin} bytes, need ${byteLength} for ${dtypeName} [${shape.join(", ")}]`);
  return { name, dtype, shape, begin, end };
}

/** Every byte of the data belongs to exactly one tensor. */
function requireTiling(entries: readonly Entry[], dataLength: number): void {
  let at = 0;
  let last = "the header";
  for (const { name, begin, end } of [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (end > dataLength) throw defect(`${show(name)} ends at byte ${end} of ${dataLength}: truncated`);
    if (begin < at) throw defect(`${show(name)} overlaps ${show(last)}`);
    if (begin > at) throw defect(`${begin - at} bytes before ${show(name)} belong to no tensor`);
    at = end;
    last = name;
  }
  if (at !== dataLength) throw defect(`the last ${dataLength - at} bytes belong to no tensor`);
}

/** data: bits of IEEE 754 halves */
export type HalfTensor = { dtype: "f16"; shape: readonly number[]; data: Uint16Array };

/** A file of `tensors` in their order, the data aligned to 8 bytes; elements of four bytes are aligned where no half stands before them.
 *  @throws RangeError when a shape does not fit its data, or a name is reserved */
export function writeSafetensors(
  tensors: ReadonlyMap<string, HostTensor | HalfTensor>,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  const header = new Map<string, unknown>();
  if (metadata) header.set("__metadata__", metadata);
  let length = 0;
  for (const [name, { dtype, shape, data }] of tensors) {
    if (reserved.has(name) || name === "__metadata__") throw new RangeError(`the tensor name ${name} is reserved`);
    const count = shape.reduce((product, size) => product * size, 1);
    if (count !== data.length) throw new RangeError(`${name}: got ${data.length} elements for [${shape.join(", ")}]`);
    header.set(name, { dtype: dtype.toUpperCase(), shape, data_offsets: [length, length + data.byteLength] });
    length += data.byteLength;
  }
  const text = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)));
  const headerLength = Math.ceil(text.length / 8) * 8;
  const bytes = new Uint8Array(8 + headerLength + length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerLength), true);
  bytes.fill(0x20, 8, 8 + headerLength);
  bytes.set(text, 8);
  let at = 8 + headerLength;
  for (const { data } of tensors.values()) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return bytes;
}

/** The tensor called `name`, of a shape and dtype the caller needs.
 *  @throws UserError when it is not there or is not so */
export function requireTensor<D extends HostTensor["dtype"]>(
  tensors: ReadonlyMap<string, HostTensor>,
  { name, dtype, shape, file }: { name: string; dtype: D; shape: readonly number[]; file: string },
): Extract<HostTensor, { dtype: D }> {
  const tensor = tensors.get(name);
  const needed = `${dtype} [${shape.join(", ")}]`;
  if (!tensor) {
    const near = nearest(name, tensors.keys());
    throw new UserError(
      `${file}: got no tensor ${show(name)}, need ${needed}${near ? `; the nearest name there is ${show(near)}` : ""}`,
    );
  }
  if (
    tensor.dtype !== dtype ||
    tensor.shape.length !== shape.length ||
    tensor.shape.some((size, i) => size !== shape[i])
  ) {
    throw new UserError(`${file}: got ${show(name)} as ${tensor.dtype} [${tensor.shape.join(", ")}], need ${needed}`);
  }
  return tensor as Extract<HostTensor, { dtype: D }>;
}
