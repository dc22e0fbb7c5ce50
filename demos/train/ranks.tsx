// Who sends how much to whom in a step, beside the closed form, and what each rank holds.

import { Fragment, type VNode } from "preact";
import { bytes, count } from "../kit/format.ts";
import { Scrolling } from "../kit/scrolling.tsx";
import type { RankFigures } from "./news.ts";
import { figures, settingsNow, started } from "./state.ts";

/** With more ranks a cell has no room for words: it says them when pointed at, and rows their sums. */
const mostWithWords = 8;

export const Traffic = (): VNode => (
  <section class="panel" aria-labelledby="traffic">
    <h2 id="traffic">Who sends to whom</h2>
    {figures.value ? <TrafficOf of={figures.value} /> : <p class="quiet">Nothing yet.</p>}
  </section>
);

function TrafficOf({ of }: { of: RankFigures }): VNode {
  const { traffic, received, closedForm } = of;
  if (traffic.length === 1) return <p>One rank holds everything: nothing is sent.</p>;
  const ranks = traffic.map((_, rank) => rank);
  const most = Math.max(1, ...traffic.flat());
  const words = ranks.length <= mostWithWords;
  const differ = ranks.filter((rank) => received[rank] !== closedForm[rank]);
  const total = received.reduce((sum, each) => sum + each, 0);
  return (
    <>
      <p role="status" class={differ.length === 0 ? "good" : "wrong"}>
        {differ.length === 0
          ? `✓ All ${ranks.length} ranks received what the closed form says, to the byte: ${count(total)} bytes a step.`
          : `✗ Rank ${differ[0]} received ${count(received[differ[0]])} bytes, the closed form says ${count(closedForm[differ[0]])}.`}
      </p>
      <p class="small quiet">Bytes a step, from each rank (rows) to each rank (columns).</p>
      <Scrolling label="Bytes from rank to rank">
        <table class={`heat ${words ? "" : "fine"}`}>
          <thead>
            <tr>
              <th scope="col">from</th>
              {ranks.map((to) => (
                <th key={to} scope="col">
                  <span class="hidden">to </span>
                  {to}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {ranks.map((from) => (
              <tr key={from}>
                <th scope="row">{from}</th>
                {ranks.map((to) => (
                  <Cell key={to} from={from} to={to} bytes={traffic[from][to]} most={most} words={words} />
                ))}
              </tr>
            ))}
          </tbody>
          {words && (
            <tfoot>
              <Sums label="received" values={received} />
              <Sums label="closed form" values={closedForm} />
            </tfoot>
          )}
        </table>
      </Scrolling>
    </>
  );
}

const Sums = ({ label, values }: { label: string; values: readonly number[] }): VNode => (
  <tr>
    <th scope="row">{label}</th>
    {values.map((value, rank) => (
      <td key={rank} title={`${count(value)} bytes`}>
        {short(value)}
      </td>
    ))}
  </tr>
);

function Cell(props: { from: number; to: number; bytes: number; most: number; words: boolean }): VNode {
  const { from, to, bytes: sent, most, words } = props;
  const title = `rank ${from} to rank ${to}: ${count(sent)} bytes`;
  return (
    <td style={{ "--share": (sent / most).toFixed(3) }} title={title}>
      {words ? sent === 0 ? "·" : short(sent) : <span class="hidden">{short(sent)}</span>}
    </td>
  );
}

/** "57.4 K" of bytes, as narrow as a cell. */
const short = (value: number): string => bytes(value).replace("iB", "").replace(" B", "");

const purposes = ["weights", "gradients", "optimizer", "activations", "scratch"] as const;
const purposeWords: Record<(typeof purposes)[number], string> = {
  weights: "weights",
  gradients: "gradients",
  optimizer: "optimizer",
  activations: "activations",
  scratch: "messages and scratch",
};

export const Memory = (): VNode => (
  <section class="panel" aria-labelledby="memory">
    <h2 id="memory">What each rank holds</h2>
    {figures.value && started.value ? <MemoryOf of={figures.value} /> : <p class="quiet">Nothing yet.</p>}
  </section>
);

function MemoryOf({ of }: { of: RankFigures }): VNode {
  const most = Math.max(1, ...of.memory.map(({ total }) => total));
  const shown = purposes.filter((purpose) => of.memory.some((held) => held[purpose] > 0));
  return (
    <>
      <p class="small quiet">
        Between two steps,{" "}
        {settingsNow.value.place === "process" ? "as if each had a device to itself" : "each on its own device"}.
      </p>
      <ul class="key" aria-hidden="true">
        {shown.map((purpose) => (
          <li key={purpose}>
            <span class={`swatch of-${purpose}`} /> {purposeWords[purpose]}
          </li>
        ))}
      </ul>
      <Scrolling label="Memory by rank and purpose">
        <table class="memory">
          <caption class="hidden">Bytes held by rank and purpose</caption>
          <thead>
            <tr>
              <th scope="col">rank</th>
              <th scope="col">sum</th>
              {shown.map((purpose) => (
                <th key={purpose} scope="col">
                  {purpose}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {of.memory.map((held, rank) => (
              <Fragment key={rank}>
                <tr class="held">
                  <th scope="row">{rank}</th>
                  <td>{bytes(held.total)}</td>
                  {shown.map((purpose) => (
                    <td key={purpose}>{bytes(held[purpose])}</td>
                  ))}
                </tr>
                {/* Under the figures: beside them there is no room for both. */}
                <tr>
                  <td colSpan={shown.length + 2} aria-hidden="true">
                    <span class="stack">
                      {shown.map((purpose) => (
                        <span
                          key={purpose}
                          class={`of-${purpose}`}
                          style={{ width: `${((100 * held[purpose]) / most).toFixed(2)}%` }}
                        />
                      ))}
                    </span>
                  </td>
                </tr>
              </Fragment>
            ))}
          </tbody>
        </table>
      </Scrolling>
    </>
  );
}
