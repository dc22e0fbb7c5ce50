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

// Another link of the same room. What skips to the content is a # too, and not to take the secret out of the address.
addEventListener("hashchange", () => {
  if (location.hash === `#${secret}`) return;
  if (location.hash === "#content") history.replaceState(null, "", `#${secret}`);
  else if (session) location.reload();
});

const Content = (): VNode => (
  <>
    <SupportNotice />
    {session && room && <RoomView session={session} room={room} secret={secret} />}
    {opening && <Opening engine={engine} state={opening} />}
  </>
);

showPage("together", Content);
