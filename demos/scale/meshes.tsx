// Every mesh of the devices: where its step's time goes, what it receives and holds. One can be chosen, to be looked into below.

import type { VNode } from "preact";
import { bytes, percent, seconds } from "../kit/format.ts";
import type { Figures } from "./figures.ts";
import { Panel } from "./panel.tsx";
import { chosen, comparison, fastest, nameOf, state, trace } from "./state.ts";
import type { MeshAnswer } from "./worker.ts";

const layoutTitle = { serial: "one rank", "1d": "1D", "1d-sp": "1D, sequence", "2d": "2D", "2.5d": "2.5D" } as const;

export const titleOf = ({ layout, dims }: Pick<MeshAnswer, "layout" | "dims">): string =>
  layout === "serial" ? layoutTitle.serial : `${layoutTitle[layout]} ${dims.join("\u00a0×\u00a0")}`;

/** A step's time, and the classes of its parts. */
const parts = [
  { key: "computingSeconds", kind: "computing", text: "computing" },
  { key: "exposedSeconds", kind: "exposed", text: "waiting for messages under way" },
  { key: "idleSeconds", kind: "idle", text: "waiting for others" },
] as const;

const share = (value: number): string => `${Math.min(100, 100 * value).toFixed(2)}%`;

const TimeBar = ({ figures, longest }: { figures: Figures; longest: number }): VNode => (
  <div class="bar" aria-hidden="true">
    {parts.map(({ key, kind }) => (
      <span key={kind} class={kind} style={{ width: share(figures[key] / longest) }} />
    ))}
  </div>
);

/** As much of the limit as is needed; beyond it, the limit's place in what is needed. */
function MemoryBar({ held, limit }: { held: number; limit: number }): VNode {
  const over = held > limit;
  return (
    <div class={`memory ${over ? "over" : ""}`} aria-hidden="true">
      <span style={{ width: share(over ? 1 : held / limit) }} />
      {over && <i style={{ left: share(limit / held) }} />}
    </div>
  );
}

/** The whole step's figures where they are known already, and not those put together. */
function figuresOf(figures: Figures): Figures {
  const known = trace.value.value;
  const looked = comparison.value.value?.question;
  const shown = known && nameOf(known) === nameOf(figures) && known.layers === looked?.layers;
  return shown && !trace.stale.value && looked?.accumulate === 1 ? known.figures : figures;
}

const timeOf = ({ whole, seconds: time }: Figures): string => `${whole ? "" : "≈ "}${seconds(time)}`;

function Mesh({ mesh, longest, limit }: { mesh: MeshAnswer & { figures: Figures }; longest: number; limit: number }) {
  const { figures } = mesh;
  const title = titleOf(mesh);
  const best = fastest.value && nameOf(fastest.value) === nameOf(mesh);
  return (
    <li data-mesh={nameOf(mesh)} class={figures.fits ? "" : "unfit"}>
      <label>
        <input
          type="radio"
          name="mesh"
          checked={chosen.value !== undefined && nameOf(chosen.value) === nameOf(mesh)}
          onChange={() => (state.mesh.value = nameOf(mesh))}
        />
        <span class="name">{title}</span>
        {best && <span class="badge">{figures.fits ? "fastest" : "fastest, but does not fit"}</span>}
        {!figures.fits && !best && <span class="badge no">does not fit</span>}
      </label>
      <strong class="time">{timeOf(figures)}</strong>
      <TimeBar figures={figures} longest={longest} />
      <dl>
        {parts.map(({ key, kind, text }) => (
          <div key={kind}>
            <dt class="hidden">{text}</dt>
            <dd>
              <i class={`key ${kind}`} aria-hidden="true" /> {seconds(figures[key])}
            </dd>
          </div>
        ))}
        <div>
          <dt>MFU</dt>
          <dd>{percent(figures.mfu)}</dd>
        </div>
        <div>
          <dt>receives</dt>
          <dd>{bytes(figures.bytesReceived)}</dd>
        </div>
        <div class="holds">
          <dt>holds</dt>
          <dd>
            {bytes(figures.memoryBytes)} of {bytes(limit)}
          </dd>
          <MemoryBar held={figures.memoryBytes} limit={limit} />
        </div>
      </dl>
    </li>
  );
}

/** The answer in a sentence; where the page is narrow it stays in sight while sliders move. */
export const Headline = (): VNode => (
  <div class={`headline ${comparison.stale.value ? "stale" : ""}`} aria-live="polite">
    <Answer />
  </div>
);

function Answer(): VNode {
  const [known, best] = [comparison.value.value, fastest.value];
  if (comparison.wrong.value !== undefined) return <p>This cannot be simulated: what is wrong with it is below.</p>;
  if (!known) return <p class="quiet">Simulating…</p>;
  const { devices } = known.question;
  if (!best) return <p>No layout of {devices} devices divides this model and batch: what is missing is below.</p>;
  if (!best.fits)
    return (
      <p>
        Nothing fits {bytes(known.machine.memoryBytes)} a device: the fastest, {titleOf(best)}, needs{" "}
        {bytes(best.memoryBytes)}. More devices, micro-batches or recomputation help.
      </p>
    );
  const others = known.meshes.flatMap(({ figures }) => (figures?.fits && figures !== best ? [figures] : []));
  const faster = known.meshes.some(({ figures }) => figures && !figures.fits && figures.seconds < best.seconds);
  const whole = figuresOf(best);
  const next = others.toSorted((a, b) => a.seconds - b.seconds).at(0);
  return (
    <p>
      <b>{titleOf(best)}</b> is the fastest{faster ? " that fits" : ""}: <b>{timeOf(whole)}</b> a step,{" "}
      {percent(whole.mfu)} of what the devices can do
      {next && `; ${titleOf(next)} takes ${(next.seconds / best.seconds).toFixed(2)} times as long`}.
    </p>
  );
}

export function Meshes(): VNode {
  const known = comparison.value.value;
  const meshes = known?.meshes ?? [];
  const possible = meshes.flatMap((mesh) => (mesh.figures ? [{ ...mesh, figures: figuresOf(mesh.figures) }] : []));
  const refused = meshes.filter(({ why }) => why !== undefined);
  const longest = Math.max(...possible.map(({ figures }) => figures.seconds));
  return (
    <Panel title="Step time by layout" answer={comparison} kind="meshes">
      {possible.length > 0 && (
        <p class="legend small" aria-hidden="true">
          {parts.map(({ kind, text }) => (
            <span key={kind}>
              <i class={`key ${kind}`} /> {text}
            </span>
          ))}
        </p>
      )}
      {possible.length > 0 && (
        <fieldset>
          <legend class="hidden">The mesh that is looked into</legend>
          <ul class="found">
            {possible.map((mesh) => (
              <Mesh key={nameOf(mesh)} mesh={mesh} longest={longest} limit={known!.machine.memoryBytes} />
            ))}
          </ul>
        </fieldset>
      )}
      {refused.length > 0 && (
        <details open={possible.length === 0}>
          <summary>{refused.length === 1 ? "One mesh is" : `${refused.length} meshes are`} not possible: why</summary>
          <ul class="refused">
            {refused.map((mesh) => (
              <li key={nameOf(mesh)}>
                <b>{titleOf(mesh)}</b>: {mesh.why}
              </li>
            ))}
          </ul>
        </details>
      )}
      {possible.some(({ figures }) => !figures.whole) && (
        <p class="quiet small">
          ≈: put together from one and two blocks of the model, within a hundredth or two of the whole step; memory by
          its closed form.
        </p>
      )}
    </Panel>
  );
}
