// A room from inside: what it runs, who is there, and the run.

import { useSignal } from "@preact/signals";
import type { VNode } from "preact";
import { useEffect, useId } from "preact/hooks";
import { Figures, Notice } from "../kit/fields.tsx";
import { bytes, count, seconds } from "../kit/format.ts";
import { devicesOf } from "./choice.ts";
import type { Cost } from "./engine.ts";
import { expectedStepSeconds, slowest } from "./estimate.ts";
import { Invitation } from "./invitation.tsx";
import { keepName, labelOf, ownName } from "./names.ts";
import { RunPanel } from "./run.tsx";
import { Seats } from "./seats.tsx";
import { isLocalLink, joinLink } from "./server.ts";
import type { Session } from "./session.ts";

export function RoomView({ session, room, secret }: { session: Session; room: string; secret: string }): VNode {
  useEffect(() => void session.join(ownName()), []);
  const { problem, plan, run, phase } = session;
  const outside = phase.value === "out";
  return (
    <>
      {problem.value !== undefined && (
        <Notice kind="bad" title={outside ? "Not in the room" : "Something is wrong"}>
          {problem.value}
        </Notice>
      )}
      {plan.value ? (
        <div class="columns halves">
          <div class="columns">
            <Part session={session} room={room} secret={secret} />
            {run.value && <RunPanel view={run.value} session={session} />}
          </div>
          <div class="columns">
            {!outside && <Seats session={session} />}
            {!outside && <Invitation room={room} secret={secret} open={phase.value !== "running"} />}
            <Log session={session} />
          </div>
        </div>
      ) : (
        <>
          <p role="status">{session.note.value}</p>
          {outside && <Ways again={!session.refused.value} />}
        </>
      )}
    </>
  );
}

/** Out of a room there are two ways. Whatever has happened to this page, it begins anew. */
const Ways = ({ again }: { again: boolean }): VNode => (
  <div class="row">
    {again && (
      <button type="button" onClick={() => location.reload()}>
        Join again
      </button>
    )}
    <a class="button" href="./">
      Open a room of your own
    </a>
  </div>
);

/** What runs, and this device's consent. */
function Part({ session, room, secret }: { session: Session; room: string; secret: string }): VNode {
  const { plan, cost, phase, members, device } = session;
  const size = devicesOf(plan.value?.dims ?? []);
  const training = members.value.filter(({ state }) => state === "running");
  const spare = training.length > 0;
  const agreed = members.value.filter(({ role, state }) => role === "rank" && state !== "here").length;
  const texts: Record<typeof phase.value, string> = {
    joining: session.note.value,
    here: spare
      ? `A run is on, of ${training.map((member) => labelOf(member, members.value)).join(" and ")}. This device can take a seat in the next one, if one is free.`
      : size === 1
        ? "It begins when you agree."
        : `It begins when ${size} devices have agreed.`,
    waiting: spare
      ? "A run is on: this device takes part in the next one, when a seat is free."
      : `Waiting for the others: ${agreed} of ${size} have agreed.`,
    running:
      size === 1
        ? "This device trains. If it leaves, the run is lost."
        : "This device trains. If it leaves, the run ends for all, and begins anew with whoever takes its seat.",
    done: "The run is done. Thank you.",
    out: "This device takes no part.",
  };
  const running = phase.value === "running";
  const over = phase.value === "done" || phase.value === "out";
  return (
    <section class="panel" aria-labelledby="part">
      <h2 id="part">{running ? "What runs" : phase.value === "done" ? "What ran" : "What will run"}</h2>
      <p>{plan.value?.about}</p>
      {cost.value && <PlanCost cost={cost.value} session={session} local={isLocalLink(joinLink(room, secret))} />}
      {!over && (
        <p class="small quiet">
          {`It ${running ? "computes" : "would compute"} on this device (${device.value?.line}) as long as this page stays open, and ${running ? "reads" : "read"} nothing of yours.`}
        </p>
      )}
      {phase.value === "here" && <Name session={session} />}
      <p role="status">{texts[phase.value]}</p>
      {phase.value === "out" ? (
        <Ways again />
      ) : (
        <div class="row">
          {(phase.value === "here" || phase.value === "done") && (
            <button type="button" class="primary" onClick={() => void session.agree()}>
              {phase.value === "done" ? "Run it again" : spare ? "Agree to the next run" : "Agree, and take part"}
            </button>
          )}
          {phase.value !== "joining" && (
            <button type="button" onClick={() => session.leave()}>
              Leave
            </button>
          )}
        </div>
      )}
    </section>
  );
}

function PlanCost({ cost, session, local }: { cost: Cost; session: Session; local: boolean }): VNode {
  const { model, layout, dims, steps, bytesReceived, textBytes } = cost;
  const ranks = session.members.value.filter(({ role }) => role === "rank");
  const flopsPerSecond = slowest(ranks) ?? session.device.value?.flopsPerSecond;
  const took = session.run.value?.last.value?.durationMs;
  const step =
    took !== undefined ? took / 1000 : flopsPerSecond && expectedStepSeconds(cost, { flopsPerSecond, local });
  const place = bytesReceived.length === 1 ? "" : local ? "between tabs, " : "over Wi-Fi, ";
  const all = step ? seconds(step * steps) : "…";
  return (
    <Figures
      items={[
        ["Model", model],
        ["Mesh", layout === "serial" ? "one device" : `${layout.toUpperCase()}, ${dims.join(" × ")}`],
        ["Text", bytes(textBytes)],
        ["Steps", count(steps)],
        ["Received, a step", bytes(Math.max(...bytesReceived))],
        [took === undefined ? `In all, ${place}at best` : "In all, at this pace", all],
      ]}
    />
  );
}

function Name({ session }: { session: Session }): VNode {
  const name = useSignal(ownName());
  const id = useId();
  const rename = () => {
    const wanted = name.value.trim();
    if (wanted === "" || wanted === ownName()) return;
    keepName(wanted);
    session.leave();
    void session.join(wanted);
  };
  return (
    <form
      class="row"
      onSubmit={(event) => {
        event.preventDefault();
        rename();
      }}
    >
      <div class="field">
        <label for={id}>What others see this device as</label>
        <input
          id={id}
          maxLength={40}
          autocomplete="nickname"
          value={name.value}
          onInput={({ currentTarget }) => (name.value = currentTarget.value)}
        />
      </div>
      <button type="submit">Rename</button>
    </form>
  );
}

/** What happened, newest first. */
const Log = ({ session }: { session: Session }): VNode => (
  <section class="panel" aria-labelledby="log">
    <h2 id="log">What happened</h2>
    <ol class="log" aria-live="polite" reversed>
      {session.log.value.map(({ number, time, text }) => (
        <li key={number}>
          <time class="quiet small">{time}</time> {text}
        </li>
      ))}
    </ol>
    {session.log.value.length === 0 && <p class="quiet">Nothing yet.</p>}
  </section>
);
