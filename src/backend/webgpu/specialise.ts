// WGSL text in, WGSL text out: sets the named constants and element types of a shader, and reads off what the shader binds.
// Not a WGSL parser: it knows the subset shaders/ keeps to, and refuses what it cannot name.

export interface StorageBinding {
  readonly name: string;
  readonly binding: number;
  readonly access: "read" | "read_write";
}

export interface ParamField {
  readonly name: string;
  readonly type: "u32" | "i32" | "f32";
}

/** What a shader of shaders/ binds in group 0. */
export interface ShaderInterface {
  readonly storage: readonly StorageBinding[];
  /** The scalars of `struct Params`, 4 bytes each in this order; undefined when the shader binds none. */
  readonly params: { readonly binding: number; readonly fields: readonly ParamField[] } | undefined;
}

export type Constants = Readonly<Record<string, number | boolean>>;

const withoutComments = (source: string) => source.replace(/\/\/[^\n]*|\/\*[\s\S]*?\*\//g, "");

/** Reads the bindings of a shader.
 *  @throws Error on a binding outside the subset: other groups, other address spaces, a Params field that is no scalar, no `main` */
export function reflect(source: string): ShaderInterface {
  const code = withoutComments(source);
  const storage: StorageBinding[] = [];
  let params: ShaderInterface["params"];
  const bindings = /@group\((\d+)\)\s*@binding\((\d+)\)\s*var<([^>]+)>\s*(\w+)\s*:\s*(\w+)/g;
  let found = 0;
  for (const [text, group, index, space, name, type] of code.matchAll(bindings)) {
    found++;
    const binding = Number(index);
    const [kind, access = "read"] = space.split(",").map((part) => part.trim());
    if (group !== "0") throw new Error(`${text}: only group 0 is used`);
    if (kind === "storage" && (access === "read" || access === "read_write")) storage.push({ name, binding, access });
    else if (kind === "uniform" && name === "params" && type === "Params")
      params = { binding, fields: paramFields(code) };
    else throw new Error(`${text}: need var<storage, read | read_write> or var<uniform> params: Params`);
  }
  if (found !== (code.match(/@binding/g) ?? []).length)
    throw new Error("a binding is not of the form @group(0) @binding(i) var<..> name: type");
  if (!/\bfn\s+main\s*\(/.test(code)) throw new Error("the entry point must be called main");
  return { storage, params };
}

function paramFields(code: string): ParamField[] {
  const body = /struct\s+Params\s*\{([^}]*)\}/.exec(code)?.[1];
  if (body === undefined) throw new Error("var<uniform> params: Params without struct Params");
  const parts = body.split(",").map((part) => part.trim());
  return parts
    .filter((part) => part !== "")
    .map((part) => {
      const [, name, type] = /^(\w+)\s*:\s*(u32|i32|f32)$/.exec(part) ?? [];
      if (name === undefined) throw new Error(`Params field "${part}": need name: u32, i32 or f32`);
      return { name, type: type as ParamField["type"] };
    });
}

/** Replaces the initialiser of each named module-level `const NAME[: type] = ...;`.
 *  @throws Error when the shader has no such const, or a value does not fit its type */
export function specialise(source: string, constants: Constants): string {
  let text = source;
  for (const [name, value] of Object.entries(constants)) {
    const declaration = new RegExp(`^(const\\s+${name}\\s*(?::\\s*(\\w+)\\s*)?=)[^;]*;`, "m");
    const match = declaration.exec(text);
    if (!match) throw new Error(`the shader has no const ${name}`);
    const literal = literalOf(name, { value, type: match[2] });
    text = `${text.slice(0, match.index)}${match[1]} ${literal};${text.slice(match.index + match[0].length)}`;
  }
  return text.includes("//@") ? expand(text) : text;
}

/** Repeats what a shader marks: a line that ends with `//@ each i < COUNT, j < OTHER` stands COUNT times OTHER times (the u32 constants of
 *  these names; not at all when one is 0), with `i` and `_i` in it become `3u` and `_3`. Where such a line opens a brace, that is said of all
 *  lines up to the brace's end. A line that begins with `//@+` is not there in the shader as it stands. WGSL has no names made of numbers,
 *  and arrays of accumulators end in memory. */
function expand(text: string): string {
  const counts = new Map(
    [...text.matchAll(/^const (\w+): u32 = (\d+)u?;/gm)].map(([, name, count]) => [name, Number(count)]),
  );
  return repeat(text.replace(/^\s*\/\/@\+ /gm, "").split("\n"), counts).join("\n");
}

function repeat(lines: readonly string[], counts: ReadonlyMap<string, number>): string[] {
  const made: string[] = [];
  for (let at = 0; at < lines.length; ) {
    const [line, marked] = lines[at].split("//@ each ");
    let end = at + 1;
    for (let depth = braces(line); marked && depth > 0; end++) depth += braces(lines[end]);
    if (marked) {
      let copies = [[line, ...lines.slice(at + 1, end)]];
      for (const each of marked.split(",")) {
        const [name, count] = each.split("<").map((part) => part.trim());
        const times = counts.get(count);
        if (times === undefined) throw new Error(`the shader has no const ${count}: u32`);
        copies = copies.flatMap((copy) => Array.from({ length: times }, (_, i) => numbered(copy, name, i)));
      }
      for (const copy of copies) made.push(...repeat(copy, counts));
    } else made.push(line);
    at = end;
  }
  return made;
}

/** Opened less closed; the shaders say as much of one line as is needed here: comments are gone or have none. */
const braces = (line: string): number => line.split("{").length - line.split("}").length;

const numbered = (lines: readonly string[], name: string, i: number): string[] =>
  lines.map((line) => {
    const [code, ...mark] = line.split("//@");
    const suffix = new RegExp(`_${name}(?![a-zA-Z0-9])`, "g");
    const alone = new RegExp(`\\b${name}\\b`, "g");
    return [code.replace(suffix, `_${i}`).replace(alone, `${i}u`), ...mark].join("//@");
  });

/** The shader for buffers `names` of f16: makes f16 of the `alias` that each one's array has for its element, or for its vec4's. A shader on
 *  disk says f32 (u32 where it only moves bits), converts what it loads to f32 and what it stores to the alias. Bindings without an alias
 *  stay as they are: a buffer that only fills an optional binding's place is never read.
 *  @throws Error when another binding has the same alias, and its buffer is not of f16 */
export function withHalves(source: string, names: readonly string[]): string {
  const elements = [...source.matchAll(/var<storage[^>]*>\s*(\w+)\s*:\s*array<(?:vec[24]<)?(\w+)>/g)];
  const aliases = new Set(elements.filter(([, name]) => names.includes(name)).map(([, , element]) => element));
  let text = source;
  for (const alias of aliases) {
    const declared = new RegExp(`^alias ${alias} = [fu]32;`, "m");
    if (!declared.test(text)) continue;
    text = text.replace(declared, `alias ${alias} = f16;`);
    for (const [, name, element] of elements)
      if (element === alias && !names.includes(name)) throw new Error(`${name} is of type ${alias}, but not of f16`);
  }
  return `enable f16;\n${text}`;
}

function literalOf(name: string, { value, type }: { value: number | boolean; type: string | undefined }): string {
  if (typeof value === "boolean") {
    if (type !== undefined && type !== "bool") throw new Error(`const ${name} is ${type}, got ${value}`);
    return String(value);
  }
  const fits =
    type === "u32"
      ? Number.isInteger(value) && value >= 0
      : type === "i32" || type === undefined
        ? Number.isInteger(value)
        : type === "f32" || type === "f16";
  if (!fits || !Number.isFinite(value)) throw new Error(`const ${name}${type ? ` is ${type}` : ""}, got ${value}`);
  if (type === "u32") return `${value}u`;
  if (type === "f32") return `${value}f`;
  if (type === "f16") return `${value}h`;
  return String(value);
}
