// What the page is asked: a model, a step of it, and devices that are not there. Plain data, which goes to the worker and into the address.

export interface Sizes {
  arch: "gpt2" | "llama";
  layers: number;
  width: number;
  heads: number;
  /** as heads in gpt2 */
  kvHeads: number;
  /** 0: the architecture's */
  ffn: number;
  vocab: number;
  context: number;
}

export interface Question extends Sizes {
  /** sequences of a step, all of its micro-batches together */
  batch: number;
  /** micro-batches, one after another */
  accumulate: number;
  recompute: boolean;
  dtype: "f32" | "f16";
  devices: number;
  profile: string;
  /** "own": the profile's */
  network: string;
  /** times the profile's */
  bandwidth: number;
  latency: number;
  memory: number;
}

export interface Preset extends Sizes {
  key: string;
  label: string;
}

const gpt2 = { arch: "gpt2", ffn: 0, vocab: 50257, context: 1024 } as const;
const llama = { arch: "llama", vocab: 32000, context: 4096 } as const;

export const presets: readonly Preset[] = [
  { ...gpt2, key: "tiny", label: "Tiny, 11 M", layers: 6, width: 384, heads: 8, kvHeads: 8, vocab: 256, context: 256 },
  { ...gpt2, key: "small", label: "GPT-2 small, 124 M", layers: 12, width: 768, heads: 12, kvHeads: 12 },
  { ...gpt2, key: "medium", label: "GPT-2 medium, 355 M", layers: 24, width: 1024, heads: 16, kvHeads: 16 },
  { ...gpt2, key: "xl", label: "GPT-2 XL, 1.6 B", layers: 48, width: 1600, heads: 25, kvHeads: 25 },
  {
    ...{ ...gpt2, key: "tesseract", label: "Width 3072, 64 heads, 2.9 B", layers: 24, width: 3072 },
    ...{ heads: 64, kvHeads: 64, context: 512 },
  },
  { ...llama, key: "7b", label: "Llama, 7 B", layers: 32, width: 4096, heads: 32, kvHeads: 32, ffn: 11008 },
  { ...llama, key: "70b", label: "Llama, 70 B", layers: 80, width: 8192, heads: 64, kvHeads: 8, ffn: 28672 },
];

export const firstQuestion: Question = {
  ...{ arch: "llama", layers: 32, width: 4096, heads: 32, kvHeads: 32, ffn: 11008, vocab: 32000, context: 4096 },
  ...{ batch: 16, accumulate: 1, recompute: false, dtype: "f16", devices: 16 },
  ...{ profile: "h100", network: "own", bandwidth: 1, latency: 1, memory: 1 },
};

/** What of the address differs from the first question's, as `?...`; the page's own where nothing does. */
export function addressOf(question: Question): string {
  const changed = Object.entries(question).filter(([name, value]) => firstQuestion[name as keyof Question] !== value);
  const text = (value: Question[keyof Question]) =>
    typeof value === "boolean" ? String(Number(value)) : String(value);
  return `?${new URLSearchParams(changed.map(([name, value]) => [name, text(value)]))}`;
}

const sizeNames = ["arch", "layers", "width", "heads", "kvHeads", "ffn", "vocab", "context"] as const;

/** What of a preset the page's state takes. */
export const sizesOf = (preset: Sizes): Sizes =>
  Object.fromEntries(sizeNames.map((name) => [name, preset[name]])) as unknown as Sizes;

/** The preset that these sizes are. */
export const presetOf = (sizes: Sizes): Preset | undefined =>
  presets.find((preset) => sizeNames.every((name) => preset[name] === sizes[name]));

const sizesNamed = (key: string): Sizes => sizesOf(presets.find((preset) => preset.key === key)!);

/** Questions worth a look. */
export const examples: readonly { label: string; question: Question }[] = [
  { label: "7 B on 16 H100", question: firstQuestion },
  {
    label: "70 B on 64 H100",
    question: { ...firstQuestion, ...sizesNamed("70b"), devices: 64, batch: 64, recompute: true },
  },
  {
    label: "64 A100, a batch too small for depth",
    question: { ...firstQuestion, ...sizesNamed("tesseract"), devices: 64, batch: 16, profile: "a100" },
  },
  {
    label: "four laptops on one Wi-Fi",
    question: {
      ...{ ...firstQuestion, ...sizesNamed("tiny"), dtype: "f32", devices: 4, batch: 32 },
      ...{ profile: "laptop", network: "wifi" },
    },
  },
  {
    label: "GPT-2 medium between eight homes",
    question: {
      ...{ ...firstQuestion, ...sizesNamed("medium"), dtype: "f32", devices: 8, batch: 8, recompute: true },
      ...{ profile: "m4", network: "homes" },
    },
  },
];

export const isChanged = ({ bandwidth, latency, memory }: Question): boolean =>
  bandwidth !== 1 || latency !== 1 || memory !== 1;

/** The file that holds the page's machine where its numbers are no profile's. */
export const machineFile = "machine.json";

/** Flags of `shardgrad`'s commands: the model and the machine. */
function flags(question: Question): string[] {
  const { arch, layers, width, heads, kvHeads, ffn, vocab, context, dtype, profile, network } = question;
  const sizes = { layers, width, heads, vocab, context };
  return [
    ...(arch === "llama" ? ["--arch llama"] : []),
    ...Object.entries(sizes).map(([name, value]) => `--${name} ${value}`),
    ...(arch === "llama" && kvHeads !== heads ? [`--kv-heads ${kvHeads}`] : []),
    ...(ffn > 0 ? [`--ffn ${ffn}`] : []),
    ...(dtype === "f16" ? ["--dtype f16"] : []),
    ...(isChanged(question)
      ? [`--profile ./${machineFile}`]
      : [`--profile ${profile}`, ...(network === "own" ? [] : [`--network ${network}`])]),
  ];
}

/** The command that simulates the same on a mesh of that layout. */
export function simulateCommand(question: Question, mesh: { layout: string; dims: readonly number[] }): string {
  const { batch, accumulate, recompute } = question;
  return [
    "npx shardgrad simulate",
    ...(mesh.layout === "serial" ? [] : [`--layout ${mesh.layout} --mesh ${mesh.dims.join("x")}`]),
    ...flags(question),
    `--batch ${batch / accumulate}`,
    ...(accumulate > 1 ? [`--accumulate ${accumulate}`] : []),
    ...(recompute ? ["--recompute"] : []),
  ].join(" ");
}

/** The command that searches. */
export const planCommand = (question: Question): string =>
  ["npx shardgrad plan", `--devices ${question.devices}`, ...flags(question), `--batch ${question.batch}`].join(" ");
