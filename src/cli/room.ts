// Training in a room: what `shardgrad serve` offers, and a rank's part in it from a terminal.

import { createHash, randomBytes } from "node:crypto";
import type { Page } from "../cluster/rendezvous/pages.ts";
import type { Plan } from "../cluster/rendezvous/protocol.ts";
import { planned, type RoomTraining, takePart } from "../cluster/take-part.ts";
import { type ModelConfig, parameterCount } from "../nn/config.ts";
import { trainingTraffic } from "../nn/traffic.ts";
import type { MeshShape } from "../parallel/shape.ts";
import type { StepEvent, TrainEvent, TrainParameters } from "../train/events.ts";
import { readInput } from "./files.ts";
import type { TakePart } from "./join.ts";
import { bytesText, countText, durationText, type Output } from "./output.ts";
import { planTrain, type TrainFlags } from "./plan.ts";
import { Progress } from "./progress.ts";
import script from "./room-page.script";
import type { Served } from "./serve.ts";
import { wireText } from "./wire.ts";

const pagePath = "/train";
const scriptPath = "/train.js";

/** What a room trains: its model, and the text with the name that people are told. */
export interface RoomModel {
  config: ModelConfig;
  parameters: TrainParameters;
  tokenizer: RoomTraining["tokenizer"];
  text: Uint8Array<ArrayBuffer>;
  textName: string;
  shape: MeshShape;
}

/** A plan's part that says what to train, and the path of its text. */
export function trainingPlan(model: RoomModel): Pick<Plan, "program" | "options" | "about"> & { textPath: string } {
  const { config, parameters, tokenizer, text, textName, shape } = model;
  const training: RoomTraining = {
    config: { ...config },
    parameters,
    tokenizer,
    // Only who is in the room is told of it.
    text: {
      path: `/text/${randomBytes(16).toString("hex")}`,
      sha256: createHash("sha256").update(text).digest("hex"),
      bytes: text.length,
    },
    timeoutMs: 60_000,
  };
  const received = Math.max(...trainingTraffic(config, { shape, ...parameters, dtype: "f32" }).bytesReceived);
  return {
    program: "train",
    options: JSON.stringify(training),
    about: `Trains a ${config.model_type} of ${countText(parameterCount(config))} parameters on ${textName} for ${countText(parameters.steps)} steps. Each rank receives up to ${bytesText(received)} a step${wireText(parameters.wire)}.`,
    textPath: training.text.path,
  };
}

/** A room's text as its members fetch it. */
export const textPage = (body: Uint8Array<ArrayBuffer>): Page => ({ type: "text/plain; charset=utf-8", body });

/** A room that trains: the plan's options, and the pages that ranks need. */
export async function servedTraining(flags: TrainFlags, shape: MeshShape): Promise<Served> {
  const planned = await planTrain(flags);
  const text = new TextEncoder().encode(planned.text);
  const { textPath, ...plan } = trainingPlan({ ...planned, tokenizer: flags.tokenizer, text, shape });
  const pages = new Map<string, Page>([
    [pagePath, { type: "text/html; charset=utf-8", body: html }],
    [scriptPath, { type: "text/javascript; charset=utf-8", body: script }],
    // Browsers ask for it whatever the page says.
    ["/favicon.ico", { type: "image/x-icon", body: "" }],
    [textPath, textPage(text)],
  ]);
  return { ...plan, pages: (path) => pages.get(path), part: pagePath, kept: new Map([[textPath, text]]) };
}

/** A terminal's part. */
export const trainInRoom: TakePart = async ({ start, backend, url, data, ice, output, signal }) => {
  const text = data === undefined ? undefined : await readInput(data, "the room's text");
  const { parameters } = planned(start).training;
  const progress = new Progress(output, { steps: parameters.steps });
  const told: TrainEvent[] = [];
  try {
    await takePart({
      ...{ start, backend, url, signal, text, ice },
      listener: {
        note: (text) => output.say(text),
        event: (event, { received, closedForm }) => {
          const own =
            event.event === "step" ? { ...event, bytesReceived: [received], closedFormBytes: [closedForm] } : event;
          progress.show(own);
          if (event.event === "token") return;
          output.event(own);
          told.push(own);
        },
      },
    });
    start.end("done");
  } finally {
    progress.stop();
  }
  summarize(output, told);
};

/** How a run ended on this rank. */
function summarize(output: Output, told: readonly TrainEvent[]): void {
  for (const event of told) {
    if (event.event === "sample") output.say(`\n${event.text}\n`);
    if (event.event !== "done") continue;
    const { steps, validationLoss, peakBytes, durationMs } = event;
    output.say(
      `${countText(steps)} ${steps === 1 ? "step" : "steps"} in ${durationText(durationMs)}, validation loss of the whole split ${validationLoss.toFixed(4)}, peak memory ${bytesText(peakBytes.total)}`,
    );
  }
  output.say(receivedLine(told.filter((event) => event.event === "step")));
}

/** What this rank received, beside what the closed form says. */
function receivedLine(steps: readonly StepEvent[]): string {
  for (const { step, bytesReceived = [], closedFormBytes = [] } of steps)
    if (bytesReceived[0] !== closedFormBytes[0])
      return `step ${step}: this rank received ${countText(bytesReceived[0])} bytes, the closed form says ${countText(closedFormBytes[0])}`;
  const bytes = steps.at(-1)?.bytesReceived?.[0] ?? 0;
  return `this rank received ${countText(bytes)} bytes a step, as the closed form says, to the byte, at every step`;
}

const html = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>shardgrad: a rank</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 40em; margin: 2em auto; padding: 0 1em }
button { font: inherit; padding: .5em 1em }
</style>
<h1>Train together</h1>
<p id="state"></p>
<p id="about"></p>
<p id="device"></p>
<p id="members"></p>
<p><button id="take" hidden>Take part with this device</button></p>
<p id="progress"></p>
<p id="traffic"></p>
<p id="evaluation"></p>
<script src="${scriptPath}"></script>
</html>
`;
