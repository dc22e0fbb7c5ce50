// Every mesh of as many ranks on the same product, each rank with a device of its own that is not there: words and time, racing.

import { useSignal } from "@preact/signals";
import type { VNode } from "preact";
import { useEffect } from "preact/hooks";
import { Choice, PowerSlider, Select } from "../kit/fields.tsx";
import { count, percent, seconds } from "../kit/format.ts";
import { deviceTitle, networkTitle } from "../kit/machines.ts";
import { Scrolling } from "../kit/scrolling.tsx";
import type { Named, Profiles, Race } from "./problem.ts";
import { clock, playRace, racing, setClock } from "./race-clock.ts";
import { FormChoice } from "./settings.tsx";
import { computedAt, type Standing, standingsOf, whyText, wordsAt } from "./standing.ts";
import { availableProfiles, state } from "./state.ts";

export function RaceSettings(): VNode {
  const profiles = useSignal<Profiles>({ devices: [], networks: [] });
  useEffect(() => {
    let gone = false;
    // What stops the worker is told elsewhere.
    void availableProfiles().then(
      (names) => !gone && (profiles.value = names),
      () => undefined,
    );
    return () => {
      gone = true;
    };
  }, []);
  // What the address asks for is shown at once, before the worker says what there is.
  const withOwn = (known: readonly Named[], own: Named) =>
    (own.name === "" || known.some(({ name }) => name === own.name) ? known : [own, ...known]).map(
      ({ name, text }) => ({ value: name, text }),
    );
  const { devices, networks } = profiles.value;
  const device = { name: state.profile.value, text: deviceTitle(state.profile.value) };
  const networkNamed = (name: string): Named => ({ name, text: networkTitle(name) });
  return (
    <section class="panel settings" aria-label="The race">
      <Choice
        label="Ranks"
        value={state.devices}
        options={(["4", "8", "16", "32", "64"] as const).map((value) => ({ value, text: value }))}
      />
      <FormChoice />
      <PowerSlider label="m, rows of C" value={state.rows} from={6} to={16} text={count} />
      <PowerSlider label="n, columns of C" value={state.columns} from={6} to={16} text={count} />
      <PowerSlider label="k, summed over" value={state.inner} from={6} to={16} text={count} />
      <Select label="Device of each rank" value={state.profile} options={withOwn(devices, device)} />
      <Select
        label="Network between them"
        value={state.network}
        options={[
          { value: "", text: "the device's own" },
          ...withOwn(networks.map(networkNamed), networkNamed(state.network.value)),
        ]}
      />
    </section>
  );
}

export function RaceView({ race }: { race: Race }): VNode {
  const standings = standingsOf(race);
  const { m, n, k } = race.problem.size;
  const longest = Math.max(...standings.map(({ racer }) => racer.simulated.seconds));
  const mostWords = Math.max(1, ...standings.map(({ words }) => words));
  // In an order that the race does not change.
  const lanes = race.racers.map((racer) => standings.find((standing) => standing.racer === racer)!);
  return (
    <section class="panel race" aria-label="The race">
      <RaceControls longest={longest} />
      <p class="why">{whyText(standings)}</p>
      <div class="lanes">
        {lanes.map((standing) => (
          <Lane key={standing.name} {...{ standing, longest, mostWords }} />
        ))}
      </div>
      <p class="legend small quiet">
        Of each mesh the rank that receives most, in simulated time from left to right: when it computes, when a message
        reaches it, and its words so far, beside the most that any of them receives.
      </p>
      <p class="quiet small">
        {`${count(m)} × ${count(k)} by ${count(k)} × ${count(n)} on ${race.problem.ranks} devices: ${race.about}. Times are of the rank that receives most. Any algorithm brings some rank at least ${count(race.lowerBoundWords)} words, copies of B that planes hold from the start included: the last column compares both together with it.`}
      </p>
      <RaceTable standings={standings} />
    </section>
  );
}

function RaceControls({ longest }: { longest: number }): VNode {
  return (
    <div class="controls">
      <button type="button" class="primary" onClick={playRace}>
        {racing.value ? "Pause" : "Race"}
      </button>
      <div class="field scrub">
        <label for="clock">
          Simulated time <output for="clock">{seconds(clock.value * longest)}</output>
        </label>
        <input
          id="clock"
          type="range"
          min={0}
          max={1}
          step={0.005}
          value={clock.value}
          aria-valuetext={seconds(clock.value * longest)}
          onInput={({ currentTarget }) => setClock(currentTarget.valueAsNumber)}
        />
      </div>
    </div>
  );
}

const placeText = (place: number): string => `${place}${["st", "nd", "rd"][place - 1] ?? "th"}`;

function Lane(props: { standing: Standing; longest: number; mostWords: number }): VNode {
  const { standing, longest, mostWords } = props;
  const { racer, name, place, rank } = standing;
  const now = clock.value * longest;
  const { simulated } = racer;
  const words = wordsAt(standing, now);
  const finished = now >= simulated.seconds;
  const kernels = simulated.kernels.filter((kernel) => kernel.rank === rank);
  const messages = simulated.messages.filter(({ to }) => to === rank);
  return (
    <article class={`lane ${finished ? "finished" : ""}`}>
      <h3>
        {name} <span class="quiet small">rank {rank}</span>{" "}
        <span class="badge">{finished ? `${placeText(place)}, ${seconds(simulated.seconds)}` : "under way"}</span>
      </h3>
      <Strip kind="computing" label="computes" text={`${percent(computedAt(standing, now))} of its products`}>
        <Spans spans={kernels} now={now} longest={longest} />
      </Strip>
      <Strip
        kind="receiving"
        label="receives"
        text={`${count(messages.filter(({ end }) => end <= now).length)} messages`}
      >
        <Spans spans={messages} now={now} longest={longest} />
      </Strip>
      <Strip kind="words" label="words" text={count(words)}>
        <rect x={0} y={0} width={(1000 * words) / mostWords} height={10} />
      </Strip>
    </article>
  );
}

const Strip = (props: { kind: string; label: string; text: string; children: VNode | VNode[] }): VNode => (
  <div class={`strip ${props.kind}`}>
    <span class="label">{props.label}</span>
    <svg viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">
      {props.children}
    </svg>
    <span class="value">{props.text}</span>
  </div>
);

/** One path for all: a ring has many. */
function Spans(props: { spans: readonly { start: number; end: number }[]; now: number; longest: number }): VNode {
  const { spans, now, longest } = props;
  const at = (time: number) => ((1000 * Math.min(time, now)) / longest).toFixed(2);
  const begun = spans.filter(({ start }) => start < now);
  return <path d={begun.map(({ start, end }) => `M${at(start)} 0H${at(end)}V10H${at(start)}z`).join("")} />;
}

function RaceTable({ standings }: { standings: readonly Standing[] }): VNode {
  return (
    <Scrolling label="The race in numbers, a table">
      <table>
        <thead>
          <tr>
            <th scope="col">Mesh</th>
            <th scope="col">Place</th>
            <th scope="col">Time</th>
            <th scope="col">Computing</th>
            <th scope="col">Waiting</th>
            <th scope="col">Words</th>
            <th scope="col">and B's copies</th>
            <th scope="col">Messages</th>
            <th scope="col">Times the bound</th>
          </tr>
        </thead>
        <tbody>
          {standings.map(({ name, place, racer, computing, waiting, words, messages }) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td>{placeText(place)}</td>
              <td>{seconds(racer.simulated.seconds)}</td>
              <td>{seconds(computing)}</td>
              <td>{seconds(waiting)}</td>
              <td>{count(words)}</td>
              <td>{count(racer.replicationWords)}</td>
              <td>{count(messages)}</td>
              <td>{racer.score?.toFixed(2) ?? "–"}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scrolling>
  );
}
