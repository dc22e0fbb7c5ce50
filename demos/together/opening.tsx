// Opening a room: a model, a mesh and a text, and what a step will cost.

import { useSignal, useSignalEffect } from "@preact/signals";
import type { VNode } from "preact";
import { useEffect } from "preact/hooks";
import { type Engine, wordsOf } from "../kit/engine.ts";
import { Choice, Figures, Notice, Slider } from "../kit/fields.tsx";
import { bytes, count, flops, rate, seconds } from "../kit/format.ts";
import { field, oneOf, urlState, wholeNumber } from "../kit/url.ts";
import { type Choice as Chosen, devicesOf, meshes, meshNames, modelNames, models } from "./choice.ts";
import type { ChoiceCost, Cost, Device, TextFacts, TogetherWorker } from "./engine.ts";
import { expectedStepSeconds, tabsBytesPerSecond, wifiBytesPerSecond } from "./estimate.ts";
import { MeshPreview } from "./mesh-preview.tsx";
import { server } from "./server.ts";
import { Source } from "./source.tsx";

/** To be called where a room is opened and nowhere else: it takes what it does not know out of the address. */
export const openingState = () =>
  urlState<Chosen>({
    model: field(oneOf(...modelNames), "tiny"),
    mesh: field(oneOf(...meshNames), "2"),
    steps: field(wholeNumber({ from: 1, to: 2000 }), 200),
    wire: field(oneOf("f32", "f16"), "f32"),
  });
export type OpeningState = ReturnType<typeof openingState>;

const meshText: Record<keyof typeof meshes, string> = {
  "1": "alone",
  "2": "1D",
  "3": "1D",
  "4": "1D",
  "2x2": "2D, 2 × 2",
  "2x2x2": "2.5D, 2 × 2 × 2",
};

export function Opening({ engine, state }: { engine: Engine<TogetherWorker>; state: OpeningState }): VNode {
  const chosen = (): Chosen => ({
    model: state.model.value,
    mesh: state.mesh.value,
    steps: state.steps.value,
    wire: state.wire.value,
  });
  const device = useSignal<Device | undefined>(undefined);
  const text = useSignal<TextFacts | undefined>(undefined);
  const found = useSignal<ChoiceCost | undefined>(undefined);
  const problem = useSignal<{ title: string; text: string } | undefined>(undefined);
  const opening = useSignal(false);

  const fail = (title: string) => (error: unknown) => {
    problem.value = { title, text: wordsOf(error) };
  };
  const take = async (given?: { name: string; text: string }) => {
    try {
      text.value = await engine.remote.text(given);
      problem.value = undefined;
    } catch (error) {
      fail("This text was not taken")(error);
    }
  };
  useEffect(() => {
    void take();
    void engine.crashed.then((sentence) => fail("This page cannot go on")(`${sentence} Reload this page.`));
    void engine.remote.device().then((opened) => {
      device.value = opened;
    }, fail("This device cannot be used"));
  }, []);
  useSignalEffect(() => {
    const choice = chosen();
    if (text.value) void engine.remote.cost(choice).then((answer) => (found.value = answer));
  });
  const open = async () => {
    opening.value = true;
    problem.value = undefined;
    try {
      const link = new URL(await engine.remote.open(chosen()));
      // This page's own way to the server may be another than that of others.
      location.assign(`?room=${link.pathname.split("/").at(-1)}${link.hash}`);
    } catch (error) {
      fail("The room was not opened")(error);
      opening.value = false;
    }
  };

  const { cost, tooShort } = found.value ?? {};
  const seats = devicesOf(meshes[state.mesh.value].dims);
  return (
    <>
      {!server && <NoServer />}
      <div class="columns halves">
        <div class="columns">
          <section class="panel" aria-labelledby="what">
            <h2 id="what">What to train</h2>
            <Choice
              label="Devices, and how they share every product"
              value={state.mesh}
              options={meshNames.map((name) => ({
                value: name,
                text: (
                  <span>
                    {devicesOf(meshes[name].dims)} <span class="quiet small">{meshText[name]}</span>
                  </span>
                ),
              }))}
            />
            <Choice
              label="Model"
              value={state.model}
              options={modelNames.map((name) => ({
                value: name,
                text: (
                  <span>
                    {models[name].text}{" "}
                    <span class="quiet small">
                      {models[name].layers} layers of {models[name].width}
                    </span>
                  </span>
                ),
              }))}
            />
            <Slider label="Steps" value={state.steps} from={10} to={1000} step={10} text={count} />
            <Choice
              label="Numbers travel as"
              value={state.wire}
              options={[
                { value: "f32", text: "f32" },
                {
                  value: "f16",
                  text: (
                    <span>
                      f16 <span class="quiet small">half the bytes</span>
                    </span>
                  ),
                },
              ]}
            />
          </section>
          <Source text={text.value} take={take} />
        </div>
        <div class="columns">
          <section class="panel" aria-labelledby="cost">
            <h2 id="cost">What it costs</h2>
            {cost ? <CostView cost={cost} device={device.value} /> : <p class="quiet">Reading the text…</p>}
            <p class="small quiet">{device.value ? `This device: ${device.value.line}.` : "Measuring this device…"}</p>
            {tooShort !== undefined && (
              <Notice kind="warn" title="The text is too short">
                {tooShort}
              </Notice>
            )}
            {problem.value !== undefined && (
              <Notice kind="bad" title={problem.value.title}>
                {problem.value.text}
              </Notice>
            )}
            <div class="row">
              <button
                type="button"
                class="primary"
                disabled={!server || !text.value || tooShort !== undefined || opening.value}
                onClick={() => void open()}
              >
                {opening.value ? "Opening…" : "Open the room"}
              </button>
              <span class="small quiet">
                {seats === 1 ? (
                  <>
                    You train alone; the page <a href="../train/">Train</a> shows more of such a run.
                  </>
                ) : (
                  `You get a link for ${seats - 1} more; nothing runs before all agree.`
                )}
              </span>
            </div>
          </section>
          {cost && (
            <section class="panel" aria-labelledby="shares">
              <h2 id="shares">Who will hold what</h2>
              <MeshPreview cost={cost} />
            </section>
          )}
        </div>
      </div>
    </>
  );
}

function CostView({ cost, device }: { cost: Cost; device: Device | undefined }): VNode {
  const { parameters, flopsPerStep, bytesReceived, steps, tokensPerStep } = cost;
  const most = Math.max(...bytesReceived);
  const step = (local: boolean) =>
    device && expectedStepSeconds(cost, { flopsPerSecond: device.flopsPerSecond, local });
  const shown = (value: number | undefined) => (value === undefined ? "…" : `${seconds(value)}`);
  const [tabs, wifi] = [step(true), step(false)];
  return (
    <>
      <Figures
        items={[
          ["Parameters", count(parameters)],
          ["A step computes", flops(flopsPerStep)],
          ["A step's tokens", count(tokensPerStep)],
          ...(most === 0
            ? [["A step here, at best", shown(tabs)] as const]
            : [
                ["Each device receives, a step", bytes(most)] as const,
                ["A step between tabs here", shown(tabs)] as const,
                ["A step over Wi-Fi", shown(wifi)] as const,
              ]),
        ]}
      />
      <p class="small quiet">
        {most === 0
          ? `One device alone receives nothing: at best ${shown(tabs && tabs * steps)} for all ${count(steps)} steps.`
          : `Bytes are exact. Times take devices as fast as this one, and ${rate(tabsBytesPerSecond)} between tabs or ${rate(wifiBytesPerSecond)} of a Wi-Fi that all share: at best ${shown(tabs && tabs * steps)} or ${shown(wifi && wifi * steps)} for all ${count(steps)} steps.`}
      </p>
    </>
  );
}

const NoServer = (): VNode => (
  <Notice kind="warn" title="This host has no rooms">
    It serves files alone, and devices need somebody to meet at. Run <code>npx shardgrad demo --host 0.0.0.0</code> on a
    machine that all can reach and open its Together page, or <code>npx shardgrad serve --mesh 2 --data book.txt</code>{" "}
    and give its link away. What a room would cost can be seen here.
  </Notice>
);
