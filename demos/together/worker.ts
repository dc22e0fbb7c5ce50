// A rank's computing, and what it costs before anyone agrees: the device, the text and the run live here, off the page's thread.

import { expose, type ProxyMarked } from "comlink";
import {
  type Backend,
  charTokenizer,
  createBackend,
  makeCorpus,
  parameterCount,
  parseModelConfig,
  UserError,
} from "shardgrad";
import {
  CommunicationError,
  MessagePortChannel,
  meshShape,
  plannedTraining,
  takePart,
  trainingTraffic,
} from "shardgrad/parallel";
import { modelFlops } from "shardgrad/plan";
import { type Choice, configOf, meshes, models, modelText, parametersOf, sourcesName } from "./choice.ts";
import type { Cost, Device, Ended, Host, News, TextFacts, TogetherWorker } from "./engine.ts";
import { productSpeed } from "./speed.ts";

/** Of the project's sources: of more, a model this small learns no more. */
const mostOfSources = 200_000;
/** A room's server takes as much. */
const mostCharacters = 4_000_000;
/** Between two tellings: the page draws no more often, which an eye can follow and leaves its frames to what moves. */
const tellMs = 100;

let opened: Promise<{ backend: Backend; device: Device }> | undefined;
let text: (TextFacts & { text: string; tokens: Int32Array }) | undefined;
let running: { leave: AbortController; over: AbortController } | undefined;

async function openDevice() {
  const { backend, note } = await createBackend({ backend: "auto", tune: false });
  const flopsPerSecond = await productSpeed(backend);
  const speed = `${(flopsPerSecond / 1e9).toPrecision(2)} GFLOP/s`;
  return { backend, device: { line: `${backend.adapter.description}, ${speed}`, note, flopsPerSecond } };
}

async function sources(): Promise<{ name: string; text: string }> {
  const response = await fetch(new URL("../sources.txt", location.href));
  if (!response.ok) throw new Error(`this project's sources did not come (${response.status}); use a text of your own`);
  return { name: sourcesName, text: (await response.text()).slice(0, mostOfSources) };
}

function costOf(options: Pick<ReturnType<typeof plannedTraining>, "config" | "shape" | "training">): Cost {
  const { config, shape, training } = options;
  const { parameters, text } = training;
  const { steps, batch, context, accumulate, wire = "f32" } = parameters;
  const sizes =
    config.model_type === "gpt2"
      ? { layers: config.n_layer, width: config.n_embd }
      : { layers: config.num_hidden_layers, width: config.hidden_size };
  return {
    ...{ model: modelText(config, sizes), parameters: parameterCount(config), dims: shape.dims, layout: shape.layout },
    ...{ steps, tokensPerStep: batch * context * accumulate, wire, textBytes: text.bytes },
    flopsPerStep: modelFlops(config, { batch: batch * accumulate, context }),
    bytesReceived: trainingTraffic(config, { shape, ...parameters, dtype: "f32" }).bytesReceived,
  };
}

/** Why the text is too short for the model, in the page's words rather than the library's, which advise what the page does not offer. */
function shortness(tokens: Int32Array, { model }: Choice): string | undefined {
  const { context, text: name } = models[model];
  try {
    makeCorpus({ tokens, context });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return `It has ${tokens.length.toLocaleString("en-US")} characters, of which a tenth is kept for validation; the model ${name} looks at ${context} at once and needs one more there. A text of ${(10 * (context + 1)).toLocaleString("en-US")} characters is enough.`;
  }
}

/** Tells a list of what came together. */
class Teller {
  readonly #host: Host;
  #waiting: News[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(host: Host) {
    this.#host = host;
  }

  add(news: News): void {
    this.#waiting.push(news);
    this.#timer ??= setTimeout(() => this.tell(), tellMs);
  }

  tell(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const list = this.#waiting;
    this.#waiting = [];
    if (list.length > 0) this.#host.news(list);
  }
}

const worker = {
  async device() {
    opened ??= openDevice();
    return (await opened).device;
  },

  async text(given) {
    const { name, text: all } = given ?? (await sources());
    if (all.length > mostCharacters)
      throw new Error(
        `the text has ${all.length.toLocaleString("en-US")} characters, at most ${mostCharacters.toLocaleString("en-US")} fit in a room; use a part of it`,
      );
    const plain = all.replaceAll("\r\n", "\n").replace(/^\ufeff/, "");
    const tokenizer = charTokenizer(plain);
    const facts = { name, characters: plain.length, vocabulary: tokenizer.vocabSize };
    if (facts.vocabulary < 2) throw new Error("the text needs at least two different characters; use a real one");
    text = { ...facts, text: plain, tokens: tokenizer.encode(plain) };
    return facts;
  },

  async cost(choice) {
    if (!text) throw new Error("there is no text yet");
    const config = parseModelConfig(configOf(choice, text.vocabulary));
    const training = {
      ...{ config: { ...config }, parameters: parametersOf(choice), tokenizer: "char" as const, timeoutMs: 1 },
      text: { path: "/none", sha256: "", bytes: new TextEncoder().encode(text.text).length },
    };
    const cost = costOf({ config, shape: meshShape(meshes[choice.mesh]), training });
    return { cost, tooShort: shortness(text.tokens, choice) };
  },

  costOfPlan: async (plan) => costOf(plannedTraining(plan)),

  async open(choice) {
    if (!text) throw new Error("there is no text yet");
    const { layout, dims } = meshes[choice.mesh];
    const request = {
      ...{ layout, dims, config: configOf(choice, text.vocabulary), parameters: parametersOf(choice) },
      ...{ tokenizer: "char", text: text.text, textName: text.name },
    };
    const response = await fetch("/rooms", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(request),
    });
    const answer = (await response.json().catch(() => ({}))) as { joinUrl?: string; error?: string };
    if (answer.joinUrl === undefined) throw new Error(answer.error ?? `the server answered ${response.status}`);
    return answer.joinUrl;
  },

  async part(start, host: Host & Partial<ProxyMarked>): Promise<Ended> {
    const { backend } = await (opened ??= openDevice());
    const leave = new AbortController();
    const over = new AbortController();
    running = { leave, over };
    const teller = new Teller(host);
    try {
      await takePart({
        start: { ...start, over: over.signal },
        ...{ backend, url: location.origin, signal: leave.signal },
        connect: async ({ iceServers, iceTransportPolicy, timeoutMs, signal }) => {
          const stop = () => host.giveUp(String(signal?.reason?.message ?? signal?.reason));
          signal?.addEventListener("abort", stop);
          const connected = await host.connect({ iceServers, iceTransportPolicy, timeoutMs });
          signal?.removeEventListener("abort", stop);
          if ("message" in connected) {
            const { message, rank } = connected;
            throw rank === undefined ? new Error(message) : new CommunicationError(message, { rank });
          }
          return connected.ports.map((port) => port && new MessagePortChannel(port));
        },
        listener: {
          note: (words) => host.note(words),
          event: (event, bytes) => {
            // A sample follows its tokens.
            if (event.event !== "token") teller.add({ event, ...bytes });
          },
        },
      });
      return { how: "done" };
    } catch (error) {
      const { message, rank } = error as CommunicationError;
      if (error instanceof CommunicationError) return { how: "others", message, rank };
      const words = error instanceof Error ? message : String(error);
      return { how: "failed", message: error instanceof UserError ? words : `this device cannot go on: ${words}` };
    } finally {
      running = undefined;
      teller.tell();
    }
  },

  stop(reason) {
    if (reason === undefined) running?.leave.abort();
    else running?.over.abort(new Error(reason));
  },
} satisfies TogetherWorker;

expose(worker);
