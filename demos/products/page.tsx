// Products on a mesh: one product step by step, as real ranks computed it, or several meshes in a race.

import type { VNode } from "preact";
import { Choice, Notice } from "../kit/fields.tsx";
import { showPage } from "../kit/shell.tsx";
import { SupportNotice } from "../kit/support.tsx";
import { Film } from "./film.tsx";
import "./page.css";
import { follow } from "./player.ts";
import { RaceSettings, RaceView } from "./race.tsx";
import { followClock } from "./race-clock.ts";
import { Results } from "./results.tsx";
import { WatchSettings } from "./settings.tsx";
import { busy, race, run, start, state, trouble } from "./state.ts";

function Content(): VNode {
  const watching = state.view.value === "watch";
  return (
    <>
      <SupportNotice />
      <Choice
        label="What to see"
        value={state.view}
        options={[
          { value: "watch", text: "One product, step by step" },
          { value: "race", text: "Meshes in a race" },
        ]}
      />
      {trouble.value && (
        <Notice kind="bad" title="That did not work">
          {trouble.value}
        </Notice>
      )}
      <div class={`columns ${watching ? "watch" : "racing"}`} aria-busy={busy.value}>
        <div class="columns">
          {watching ? <WatchSettings /> : <RaceSettings />}
          <p class="busy quiet small" role="status">
            {busy.value && (watching ? "The ranks are at work…" : "The ranks are being simulated…")}
          </p>
        </div>
        <div class="columns">
          {watching ? (
            run.value ? (
              <>
                <Film run={run.value} />
                <Results run={run.value} />
              </>
            ) : (
              !trouble.value && <Waiting text="The ranks of this page multiply for the first time…" />
            )
          ) : race.value ? (
            <RaceView race={race.value} />
          ) : (
            !trouble.value && <Waiting text="Every mesh is simulated, rank by rank…" />
          )}
        </div>
      </div>
    </>
  );
}

const Waiting = ({ text }: { text: string }): VNode => (
  <section class="panel">
    <p role="status">{text}</p>
  </section>
);

follow();
followClock();
start();
showPage("products", Content);
