// The Train page: its parts, and where they stand.

import type { ComponentChildren, VNode } from "preact";
import { Notice } from "../kit/fields.tsx";
import { count } from "../kit/format.ts";
import { showPage } from "../kit/shell.tsx";
import { SupportNotice } from "../kit/support.tsx";
import { begin, forgetKept, goOnFromKept, stepsBeyond } from "./actions.ts";
import "./away.ts";
import { downloadCheckpoint, downloadReport } from "./downloads.ts";
import { Buttons, Loss, Nothing, Numbers, Rate, Samples } from "./live.tsx";
import type { Kept } from "./news.ts";
import "./page.css";
import { Memory, Traffic } from "./ranks.tsx";
import { meshWords } from "./settings.ts";
import { Setup } from "./setup.tsx";
import { Source } from "./source.tsx";
import { away, busy, failed, finished, kept, looking, notKept, safe, started } from "./state.ts";
import { TimelinePanel } from "./timeline.tsx";

/** A run that this browser keeps from before. */
function KeptNotice(): VNode | null {
  const last = kept.value;
  // One that has just come to its end here is no news.
  if (!last || busy.value || (finished.value && !failed.value && !looking.value)) return null;
  const when = new Date(last.savedAtMs).toLocaleString();
  const title = isThrough(last)
    ? `A finished run is kept in this browser: ${stepsText(last.step)}`
    : `A run is kept in this browser: step ${count(last.step)} of ${count(last.settings.steps)}`;
  return (
    <Notice title={title}>
      <p class="small">
        On {last.textName}, {meshWords(last.settings)}, saved {when}.{" "}
        {looking.value && "Below is what it left: its losses, its samples and its figures; no step is under way. "}
        {isThrough(last) ? "It can learn for as long again." : "It goes on exactly where it was."}
      </p>
      <div class="row">
        <GoOn last={last} />
        <button type="button" onClick={() => void forgetKept()}>
          Forget it
        </button>
      </div>
    </Notice>
  );
}

const isThrough = ({ step, settings }: Kept): boolean => step >= settings.steps;
const stepsText = (steps: number): string => `${count(steps)} ${steps === 1 ? "step" : "steps"}`;

/** Says how much comes: a run that was through goes on for more steps than were asked for. */
const GoOn = ({ last }: { last: Kept }): VNode => (
  <button type="button" onClick={() => void goOnFromKept()}>
    {isThrough(last) ? `Go on for ${count(stepsBeyond(last) - last.step)} more` : `Go on from step ${count(last.step)}`}
  </button>
);

function Notices(): VNode {
  const there = safe.value ? ` The checkpoint of step ${count(kept.value!.step)} is kept in this browser.` : "";
  return (
    <>
      {failed.value && (
        <Notice kind="bad" title={failed.value.title}>
          {failed.value.text}
          {there}
        </Notice>
      )}
      {notKept.value && (
        <Notice kind="warn" title={notKept.value.title}>
          {notKept.value.text}
        </Notice>
      )}
      {away.value && <Notice title="Welcome back">{away.value}</Notice>}
      <KeptNotice />
    </>
  );
}

const Files = (): VNode => (
  <section class="panel" aria-labelledby="files">
    <h2 id="files">Take it with you</h2>
    <p class="small quiet">
      {safe.value
        ? `This browser keeps the checkpoint of step ${count(kept.value!.step)}.`
        : "Checkpoints are kept in this browser after a second, and every ten seconds or so."}{" "}
      A checkpoint is a safetensors file: it goes on here on any mesh, or in the terminal with --resume.
    </p>
    <div class="row">
      <button type="button" onClick={() => void downloadCheckpoint()}>
        Download a checkpoint
      </button>
      <button type="button" onClick={() => void downloadReport()}>
        Download a report
      </button>
      {safe.value && finished.value && !busy.value && !looking.value && <GoOn last={kept.value!} />}
    </div>
  </section>
);

function Content(): ComponentChildren {
  const running = started.value !== undefined || busy.value;
  return (
    <>
      <SupportNotice />
      <Notices />
      <Buttons />
      <div class="train">
        <Setup />
        <div class="live">
          {running ? (
            <>
              <Numbers />
              <Rate />
              <div class="pair">
                <Loss />
                <Samples />
                <Traffic />
                <Memory />
              </div>
              <TimelinePanel />
            </>
          ) : (
            <>
              <Nothing />
              <Source />
            </>
          )}
        </div>
        {running && (
          <div class="rest">
            <Files />
            <Source />
          </div>
        )}
      </div>
    </>
  );
}

begin();
showPage("train", Content);
