// The mesh as seats, one for each rank: who sits where, on what, and in which state; and who is there without a seat.

import type { VNode } from "preact";
import { devicesOf } from "./choice.ts";
import type { Member } from "./engine.ts";
import { labelOf } from "./names.ts";
import { planesOf } from "./planes.ts";
import type { Session } from "./session.ts";

const stateText: Record<Member["state"], string> = {
  here: "○ here",
  agreed: "✓ agreed",
  preparing: "… getting ready",
  running: "▶ training",
};

/** By rank, where there are ranks; before that in the order of joining, those that have agreed first, as the room will choose. */
function seated(members: readonly Member[], size: number): { seats: (Member | undefined)[]; others: Member[] } {
  const seats: (Member | undefined)[] = new Array(size).fill(undefined);
  for (const member of members) if (member.rank !== undefined && member.rank < size) seats[member.rank] = member;
  const waiting = members.filter((member) => !seats.includes(member));
  const inOrder = [
    ...waiting.filter(({ state }) => state !== "here"),
    ...waiting.filter(({ state }) => state === "here"),
  ];
  for (const [rank, seat] of seats.entries()) if (!seat) seats[rank] = inOrder.shift();
  return { seats, others: inOrder };
}

export function Seats({ session }: { session: Session }): VNode {
  const present = session.members.value.filter(({ role }) => role === "rank");
  const dims = session.plan.value?.dims ?? [];
  const size = devicesOf(dims);
  const { seats, others } = seated(present, size);
  const planes = planesOf(dims);
  return (
    <section class="panel" aria-labelledby="devices">
      <h2 id="devices">Devices</h2>
      <p class="small quiet">
        {present.length} here, {size} needed.
      </p>
      <div class="planes">
        {planes.map(({ depth, ranks, columns }) => (
          <div key={depth}>
            {planes.length > 1 && <h3 class="small quiet">Depth {depth}</h3>}
            <ul class={`seats over-${Math.min(columns, 4)}`}>
              {ranks.map((rank) => {
                const member = seats[rank];
                return (
                  <li key={rank} class={member ? `seat ${member.state}` : "seat open"}>
                    <span class="small quiet">rank {rank}</span>
                    {member ? <Who member={member} session={session} /> : <span>Open seat</span>}
                  </li>
                );
              })}
            </ul>
          </div>
        ))}
      </div>
      {others.length > 0 && (
        <>
          <h3>Also here</h3>
          <ul class="seats over-2">
            {others.map((member) => (
              <li key={member.number} class={`seat ${member.state}`}>
                <Who member={member} session={session} />
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  );
}

function Who({ member, session }: { member: Member; session: Session }): VNode {
  const own = member.number === session.number;
  // The room waits a while for who has not said that its run is over.
  const done = own && session.phase.value === "done";
  return (
    <>
      <strong>
        {labelOf(member, session.members.value)}
        {own && <span class="own"> (this device)</span>}
      </strong>
      <span class="small">{member.adapter}</span>
      <span class="small state">{done ? "✓ done" : stateText[member.state]}</span>
    </>
  );
}
