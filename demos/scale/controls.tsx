// What the page is asked: model, step, devices and what joins them.

import type { VNode } from "preact";
import { Choice, NumberField, PowerSlider, Select, Slider } from "../kit/fields.tsx";
import { bytes, count, rate, seconds } from "../kit/format.ts";
import { deviceTitle, networkTitle } from "../kit/machines.ts";
import { presetOf, presets } from "./question.ts";
import {
  comparison,
  factors,
  machine as machineAnswer,
  machines,
  mostDevices,
  question,
  state,
  takePreset,
} from "./state.ts";

const times = (factor: number): string => (factor >= 1 ? `× ${factor}` : `÷ ${1 / factor}`);

const onOff = (checked: boolean, change: (checked: boolean) => void, text: string): VNode => (
  <label class="check">
    <input type="checkbox" checked={checked} onChange={({ currentTarget }) => change(currentTarget.checked)} />
    {text}
  </label>
);

function PresetSelect(): VNode {
  const preset = presetOf(question.value);
  return (
    <div class="field">
      <label for="preset">Model</label>
      <select
        id="preset"
        value={preset?.key ?? ""}
        onChange={({ currentTarget }) => {
          const taken = presets.find(({ key }) => key === currentTarget.value);
          if (taken) takePreset(taken);
        }}
      >
        {!preset && <option value="">Sizes of your own</option>}
        {presets.map(({ key, label }) => (
          <option key={key} value={key}>
            {label}
          </option>
        ))}
      </select>
    </div>
  );
}

function ModelControls(): VNode {
  const { arch, layers, width, heads, kvHeads, ffn, vocab, context } = state;
  const known = comparison.value.value;
  return (
    <section class="panel" aria-label="The model">
      <PresetSelect />
      <p class="quiet small">{known ? count(known.parameters) : "–"} parameters</p>
      <Slider label="Layers" value={layers} from={1} to={128} />
      <details>
        <summary>Its sizes</summary>
        <div class="sizes">
          <Choice
            label="Architecture"
            value={arch}
            options={[
              { value: "gpt2", text: "GPT-2" },
              { value: "llama", text: "Llama" },
            ]}
          />
          <NumberField label="Width" value={width} from={1} to={131072} />
          <NumberField label="Heads" value={heads} from={1} to={1024} />
          {arch.value === "llama" && <NumberField label="Key-value heads" value={kvHeads} from={1} to={1024} />}
          <NumberField label="Feed-forward width (0: usual)" value={ffn} from={0} to={524288} />
          <NumberField label="Vocabulary" value={vocab} from={2} to={1_000_000} />
          <NumberField label="Context" value={context} from={1} to={131072} />
        </div>
      </details>
    </section>
  );
}

function StepControls(): VNode {
  const { batch, accumulate, recompute, dtype } = state;
  return (
    <section class="panel" aria-label="The step">
      <PowerSlider label="Sequences in a step" value={batch} from={0} to={10} text={count} />
      <details>
        <summary>More of the step</summary>
        <div class="sizes">
          <NumberField label="Sequences" value={batch} from={1} to={65536} />
          <NumberField label="Micro-batches" value={accumulate} from={1} to={4096} />
          <Choice
            label="Stored as"
            value={dtype}
            options={[
              { value: "f32", text: "f32" },
              { value: "f16", text: "f16" },
            ]}
          />
          {onOff(recompute.value, (on) => (recompute.value = on), "Recompute activations")}
        </div>
      </details>
    </section>
  );
}

function MachineControls(): VNode {
  const { devices, profile, network, bandwidth, latency, memory } = state;
  const machine = machineAnswer.value.value;
  const known = machines.value;
  const named = (names: readonly string[], current: string, title: (name: string) => string) =>
    [...new Set([...names, current])].map((value) => ({ value, text: title(value) }));
  const factorText = (what: string | undefined) => (factor: number) =>
    `${factor === 1 ? "as it is" : times(factor)}${what ? ` (${what})` : ""}`;
  const levels = machine?.levels ?? [];
  const each = (text: (level: (typeof levels)[number]) => string) =>
    levels.length > 0 ? levels.map(text).join(", ") : undefined;
  return (
    <section class="panel" aria-label="The devices">
      <PowerSlider label="Devices" value={devices} from={0} to={8} text={count} />
      <NumberField label="Devices, any number" value={devices} from={1} to={mostDevices} />
      <Select label="Device" value={profile} options={named(known?.profiles ?? [], profile.value, deviceTitle)} />
      <Select
        label="Network"
        value={network}
        options={[
          { value: "own", text: "the device's own" },
          ...named(known?.networks ?? [], network.value, networkTitle).filter(({ value }) => value !== "own"),
        ]}
      />
      <p class="about quiet small">{machine && `${machine.about}.`}</p>
      <PowerSlider
        label="Bandwidth"
        value={bandwidth}
        from={factors.bandwidth[0]}
        to={factors.bandwidth[1]}
        text={factorText(each(({ bytesPerSecond }) => rate(bytesPerSecond)))}
      />
      <PowerSlider
        label="Latency"
        value={latency}
        from={factors.latency[0]}
        to={factors.latency[1]}
        text={factorText(each(({ latencySeconds }) => seconds(latencySeconds)))}
      />
      <PowerSlider
        label="Memory"
        value={memory}
        from={factors.memory[0]}
        to={factors.memory[1]}
        text={factorText(machine && bytes(machine.memoryBytes))}
      />
    </section>
  );
}

export const Controls = (): VNode => (
  <form class="controls" aria-label="What is simulated" onSubmit={(event) => event.preventDefault()}>
    <MachineControls />
    <ModelControls />
    <StepControls />
  </form>
);
