// What bench/demo.ts runs in a worker of an empty page: the Train page's run without the page, its figures and its checkpoints.

import {
  charTokenizer,
  createBackend,
  type ModelConfig,
  makeCorpus,
  parseModelConfig,
  type TrainParameters,
} from "../src/index.ts";
import { meshShape, trainOnMesh } from "../src/parallel.ts";

export interface BareRun {
  text: string;
  /** without its vocabulary, which the text says */
  model: Omit<Partial<Extract<ModelConfig, { model_type: "gpt2" }>>, "vocab_size">;
  parameters: TrainParameters;
  /** none: one rank */
  dims: readonly number[] | undefined;
}

self.onmessage = async ({ data }: MessageEvent<BareRun>) => {
  const { text, model, parameters, dims } = data;
  const tokenizer = charTokenizer(text);
  const corpus = makeCorpus({ tokens: tokenizer.encode(text), context: parameters.context });
  const config = parseModelConfig({ ...model, vocab_size: tokenizer.vocabSize });
  const { backend } = await createBackend({ backend: "cpu" });
  const shape = meshShape({ dims });
  const stepMs: number[] = [];
  for await (const event of trainOnMesh({ backend, config, tokenizer, corpus, parameters, shape }))
    if (event.event === "step") stepMs.push(event.durationMs);
  backend.dispose();
  self.postMessage(stepMs);
};
