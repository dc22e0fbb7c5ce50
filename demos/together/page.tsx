// Together: without a room in its address the page opens one, with one it takes part.

import type { VNode } from "preact";
import { startEngine } from "../kit/engine.ts";
import { showPage } from "../kit/shell.tsx";
import { SupportNotice } from "../kit/support.tsx";
import type { TogetherWorker } from "./engine.ts";
import { Opening, openingState } from "./opening.tsx";
import { RoomView } from "./room.tsx";
import { Session } from "./session.ts";
import "./page.css";

const engine = startEngine<TogetherWorker>("together");
const room = new URLSearchParams(location.search).get("room");
const secret = location.hash.slice(1);

/** Whatever comes with a link is a stranger's: of this server, or nothing. */
const isName = room !== null && /^[a-z0-9-]{1,40}$/.test(room);
const address = { url: new URL(`/room/${room}`, location.href).href, secret };
const session = isName ? new Session(engine, address) : undefined;
const opening = session ? undefined : openingState();

// Another link of the same room.
addEventListener("hashchange", () => session && location.reload());
// What skips to the content would take the secret out of the address.
addEventListener("click", (event) => {
  if (!session || !(event.target instanceof HTMLAnchorElement) || !event.target.matches(".skip")) return;
  event.preventDefault();
  document.getElementById("content")?.focus();
});

const Content = (): VNode => (
  <>
    <SupportNotice />
    {session && room && <RoomView session={session} room={room} secret={secret} />}
    {opening && <Opening engine={engine} state={opening} />}
  </>
);

showPage(
  "together",
  Content,
  "Devices in a room tell each other their names and what they compute on, send each other the numbers of a run, and get its text from the room; nothing else of this device leaves it.",
);
