// The script of the page that takes part in a room's training run: shows what will run, asks, and trains as one rank.

import { createBackend } from "../backend/select.ts";
import { joinRoom } from "../cluster/rendezvous/client.ts";
import { isNatsUrl } from "../cluster/rendezvous/nats-address.ts";
import { takePart } from "../cluster/take-part.ts";
import { CommunicationError } from "../comm/link.ts";

const element = (id: string): HTMLElement => document.getElementById(id)!;
const show = (id: string, text: string) => (element(id).textContent = text);
const button = element("take") as HTMLButtonElement;

const secret = location.hash.slice(1);
const room = new URLSearchParams(location.search).get("room") ?? "/";
const url = new URL(room, location.origin).href;
// A link could lead this page, with this server's name on it, to a stranger's room.
const strange = !url.startsWith(`${location.origin}/`) && !isNatsUrl(url);

/** What goes wrong is said on the page: nobody looks at a console. */
async function main(): Promise<void> {
  if (strange)
    throw new Error("this link is for a room of another server; use the link that `shardgrad serve` printed");
  show("state", "Looking for what can compute here…");
  const { backend, note } = await createBackend({ backend: "auto", tune: false });
  show("device", note);
  const client = await joinRoom({
    ...{ url, secret, name: "a page", adapter: backend.adapter.description },
    events: {
      note: (text) => show("state", text),
      members: (members) => {
        const ranks = members.filter(({ role }) => role === "rank").length;
        show("members", ranks === 1 ? "this is the only rank so far" : `${ranks} ranks are there`);
      },
      lost: (error) => show("state", error.message),
    },
  });
  const size = client.plan.dims.reduce((product, extent) => product * extent, 1);
  show("about", `${client.plan.about} It needs ${size} ranks.`);
  show("state", "");
  button.hidden = false;
  await new Promise((resolve) => button.addEventListener("click", resolve, { once: true }));
  button.hidden = true;
  for (;;) {
    show("state", "Waiting for the others…");
    const start = await client.agree();
    show("state", `Rank ${start.rank} of ${start.size}`);
    try {
      await takePart({
        ...{ start, backend, url },
        listener: {
          note: (text) => show("progress", `${text}…`),
          event: (event, { received, closedForm }) => {
            if (event.event === "step") {
              const { step, loss, durationMs } = event;
              const equal = received === closedForm ? "as the closed form says" : `the closed form says ${closedForm}`;
              show("progress", `step ${step}: loss ${loss.toFixed(4)}, ${durationMs.toFixed(0)} ms`);
              show("traffic", `${received.toLocaleString("en")} bytes received, ${equal}`);
            }
            if (event.event === "eval") show("evaluation", `validation loss ${event.validationLoss.toFixed(4)}`);
            if (event.event === "done") show("evaluation", `done: validation loss ${event.validationLoss.toFixed(4)}`);
          },
        },
      });
      start.end("done");
      break;
    } catch (error) {
      start.end(error instanceof Error ? error.message : String(error));
      if (!(error instanceof CommunicationError)) throw error;
      show("evaluation", `${error.message}; waiting for the next start`);
    }
  }
  client.leave();
  backend.dispose();
  show("state", "Done. Thank you.");
}

main().catch((error: unknown) => show("state", error instanceof Error ? error.message : String(error)));
