// Controls with their labels: each says what it is, what it stands at, and what is wrong with it.

import { computed, type Signal, signal, useSignal, useSignalEffect } from "@preact/signals";
import type { ComponentChildren, VNode } from "preact";
import { useEffect, useId } from "preact/hooks";
import type { BackendChoice } from "./backends.ts";
import { count } from "./format.ts";

interface SliderOptions {
  label: string;
  value: Signal<number>;
  from: number;
  to: number;
  /** how the value reads */
  text?: (value: number) => string;
  disabled?: boolean;
}

/** `at`: where on its line a value is, and `of` what is there. */
function Line(
  props: SliderOptions & { step: number; at: (value: number) => number; of: (place: number) => number },
): VNode {
  const { label, value, from, to, step, text = String, disabled, at, of } = props;
  const id = useId();
  return (
    <div class="field">
      <label for={id}>
        {label} <output for={id}>{text(value.value)}</output>
      </label>
      <input
        id={id}
        type="range"
        min={from}
        max={to}
        step={step}
        value={at(value.value)}
        disabled={disabled}
        aria-valuetext={text(value.value)}
        onInput={({ currentTarget }) => (value.value = of(currentTarget.valueAsNumber))}
      />
    </div>
  );
}

const same = (value: number): number => value;

/** A number drawn along a line. */
export const Slider = (props: SliderOptions & { step?: number }): VNode => (
  <Line {...props} step={props.step ?? 1} at={same} of={same} />
);

/** One of the powers of two from 2^from to 2^to. */
export const PowerSlider = (props: SliderOptions): VNode => (
  <Line {...props} step={1} at={Math.log2} of={(power) => 2 ** power} />
);

/** Fields in which something stands that is no value. */
const unmended = signal<ReadonlySet<string>>(new Set());

/** What stands in some field is not what would be taken: whoever starts something waits until it is mended. */
export const fieldsUnmended = computed(() => unmended.value.size > 0);

function setUnmended(id: string, is: boolean): void {
  // Not read as a component reads it: an effect that mends a field would run whenever another one is spoilt.
  const before = unmended.peek();
  if (before.has(id) === is) return;
  const next = new Set(before);
  if (is) next.add(id);
  else next.delete(id);
  unmended.value = next;
}

/** A number that is typed. What is none, or out of bounds, stays there and is told, and changes nothing until it is mended. */
export function NumberField(props: {
  label: string;
  value: Signal<number>;
  from: number;
  to: number;
  step?: number | "any";
  /** what is wrong with it for another reason */
  wrong?: string;
  disabled?: boolean;
}): VNode {
  const { label, value, from, to, step = 1, disabled } = props;
  const id = useId();
  /** as it was typed, while it is no value */
  const draft = useSignal<string | undefined>(undefined);
  const bounds = `${step === "any" ? "a number" : "a whole number"} from ${count(from)} to ${count(to)}`;
  const mended = () => {
    draft.value = undefined;
    setUnmended(id, false);
  };
  // Another value from elsewhere, or a run that has begun with the one before, ends the typing.
  useSignalEffect(() => {
    void value.value;
    mended();
  });
  useEffect(() => {
    if (disabled) mended();
  }, [disabled]);
  useEffect(() => () => setUnmended(id, false), [id]);
  const take = (input: HTMLInputElement, { typing }: { typing: boolean }) => {
    if (typing && draft.value === undefined) return;
    if (input.validity.valid && input.value !== "") {
      value.value = input.valueAsNumber;
      mended();
    } else {
      draft.value = input.value;
      setUnmended(id, true);
    }
  };
  const got = draft.value === undefined ? undefined : draft.value === "" ? "nothing" : draft.value;
  const wrong = got === undefined ? props.wrong : `Got ${got}, need ${bounds}.`;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        type="number"
        min={from}
        max={to}
        step={step}
        value={draft.value ?? value.value}
        disabled={disabled}
        aria-invalid={wrong !== undefined}
        aria-describedby={wrong === undefined ? undefined : `${id}-wrong`}
        onInput={({ currentTarget }) => take(currentTarget, { typing: true })}
        onChange={({ currentTarget }) => take(currentTarget, { typing: false })}
      />
      {wrong !== undefined && (
        <span class="wrong" id={`${id}-wrong`} role="alert">
          {wrong}
        </span>
      )}
    </div>
  );
}

/** One of a few. */
export function Choice<T extends string>(props: {
  label: string;
  value: Signal<T>;
  options: readonly { value: T; text: ComponentChildren; disabled?: boolean; title?: string }[];
}): VNode {
  const { label, value, options } = props;
  const name = useId();
  return (
    <fieldset>
      <legend>{label}</legend>
      <div class="choices">
        {options.map((option) => (
          <label key={option.value} title={option.title}>
            <input
              type="radio"
              name={name}
              checked={value.value === option.value}
              disabled={option.disabled}
              onChange={() => (value.value = option.value)}
            />
            {option.text}
          </label>
        ))}
      </div>
    </fieldset>
  );
}

/** One of many. */
export function Select<T extends string>(props: {
  label: string;
  value: Signal<T>;
  options: readonly { value: T; text: string }[];
  disabled?: boolean;
}): VNode {
  const { label, value, options, disabled } = props;
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select
        id={id}
        value={value.value}
        disabled={disabled}
        onChange={({ currentTarget }) => {
          const chosen = options.find((option) => option.value === currentTarget.value);
          if (chosen) value.value = chosen.value;
        }}
      >
        {options.map((option) => (
          <option key={option.value} value={option.value}>
            {option.text}
          </option>
        ))}
      </select>
    </div>
  );
}

/** Names and values. */
export const Figures = ({
  items,
}: {
  items: readonly (readonly [name: string, value: ComponentChildren])[];
}): VNode => (
  <dl class="figures">
    {items.map(([name, value]) => (
      <div key={name}>
        <dt>{name}</dt>
        <dd>{value}</dd>
      </div>
    ))}
  </dl>
);

/** Something that people should know, and what they can do. Read aloud when it appears. */
export const Notice = (props: { kind?: "warn" | "bad"; title: string; children?: ComponentChildren }): VNode => (
  <div class={`notice ${props.kind ?? ""}`} role={props.kind === "bad" ? "alert" : "status"}>
    <strong>{props.title}</strong>
    {props.children}
  </div>
);

/** Which backend is taken. */
export const ComputesOn = (props: { value: Signal<BackendChoice>; disabled?: boolean }): VNode => (
  <Select
    label="Computes on"
    {...props}
    options={[
      { value: "auto", text: "the best there is" },
      { value: "webgpu", text: "WebGPU" },
      { value: "cpu", text: "the processor" },
    ]}
  />
);
