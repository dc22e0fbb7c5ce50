// A room that a page asks for: a model, a mesh and a text, as JSON. All of it is checked as ranks check a plan, and the text as a run would.

import { UserError } from "../backend/errors.ts";
import type { RoomSpec } from "../cluster/rendezvous/open-room.ts";
import { printable } from "../cluster/rendezvous/protocol.ts";
import { planned } from "../cluster/take-part.ts";
import { layersOf, parameterCount, parseModelConfig } from "../nn/config.ts";
import { type LayoutName, meshShape } from "../parallel/shape.ts";
import { makeCorpus, requireVariety, textFromBytes } from "../train/corpus.ts";
import type { TrainParameters } from "../train/events.ts";
import { isTrainParameters } from "../train/parameters.ts";
import { byteTokenizer, charTokenizer } from "../train/tokenizer.ts";
import { textPage, trainingPlan } from "./room.ts";

/** Ranks of a room that a page opens: each is a device with somebody before it. */
const mostRanks = 16;
/** A room of pages is for small models, and a request is not to cost this process much. */
const [mostLayers, mostParameters] = [128, 2e9];
/** UTF-8: sixteen rooms hold 64 MiB */
const mostTextBytes = 4 * 2 ** 20;

/** What a page sends. */
export interface RoomRequest {
  layout: LayoutName;
  dims: readonly number[];
  /** as config.json has it */
  config: Record<string, unknown>;
  parameters: TrainParameters;
  tokenizer: "char" | "byte";
  text: string;
  /** for people */
  textName: string;
}

/** @throws UserError for what does not train */
export function requestedRoom(value: unknown): RoomSpec {
  const { layout, dims, config, parameters, tokenizer, text, textName } = Object(value) as Partial<RoomRequest>;
  if (typeof text !== "string" || typeof textName !== "string")
    throw new UserError("a room's request has no text with a name; send both");
  if (!Array.isArray(dims) || !dims.every((extent) => Number.isInteger(extent)))
    throw new UserError("a room's request has no mesh; send dims like [2, 2]");
  const shape = meshShape({ layout, dims });
  if (shape.size > mostRanks)
    throw new UserError(`got a mesh of ${shape.size} ranks, need at most ${mostRanks} in a room that a page opens`);
  const bytes = new TextEncoder().encode(text);
  if (bytes.length > mostTextBytes)
    throw new UserError(
      `got a text of ${bytes.length} bytes, need at most ${mostTextBytes}; use a part of it, or \`shardgrad serve --data FILE\``,
    );
  // As ranks will read it.
  const read = textFromBytes(bytes);
  const model = parseModelConfig(config);
  if (layersOf(model) > mostLayers || parameterCount(model) > mostParameters)
    throw new UserError(
      `got ${layersOf(model)} layers and ${parameterCount(model).toExponential(1)} parameters, need at most ${mostLayers} and ${mostParameters.toExponential(0)}; use \`shardgrad serve\` for more`,
    );
  if (!isTrainParameters(parameters)) throw new UserError("the parameters are not those of a training run");
  const kind = tokenizer === "byte" ? "byte" : "char";
  const name = printable(textName, 80) || "a text";
  const { textPath, ...rest } = trainingPlan({
    ...{ config: model, parameters, tokenizer: kind, text: bytes, textName: name, shape },
  });
  const plan = { layout: shape.layout, dims: shape.dims, ...rest };
  planned(plan);
  requireVariety(read, name);
  const tokens = kind === "char" ? charTokenizer(read) : byteTokenizer();
  if (tokens.vocabSize !== model.vocab_size)
    throw new UserError(
      `the text has ${tokens.vocabSize} different characters, the config's vocab_size is ${model.vocab_size}; make them equal`,
    );
  makeCorpus({ tokens: tokens.encode(read), context: parameters.context });
  const page = textPage(bytes);
  return { plan, pages: (path) => (path === textPath ? page : undefined) };
}
