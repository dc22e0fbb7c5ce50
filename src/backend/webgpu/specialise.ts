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
  return text;
}

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
