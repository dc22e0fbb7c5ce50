// The script of a room's own page: shows what the room will run and who is there, and asks. It takes no part itself: agreeing opens the
// page that does.

import { parseFromRoom } from "./protocol.ts";

const element = (id: string): HTMLElement => document.getElementById(id)!;
const show = (id: string, text: string) => (element(id).textContent = text);

const secret = location.hash.slice(1);
const socket = new WebSocket(location.href.replace(/^http/, "ws").replace(/#.*/, ""));
const members = new Map<number, string>();
let dropped = false;

socket.onopen = () =>
  socket.send(JSON.stringify({ kind: "join", secret, name: "a page", adapter: "", role: "watcher", running: 0 }));
socket.onclose = () => {
  if (!dropped) show("state", "The connection to the room is lost; load this page again.");
  element("part").hidden = true;
};
socket.onmessage = ({ data }) => {
  const message = parseFromRoom(data);
  if (message.kind === "ping") socket.send(JSON.stringify({ kind: "pong" }));
  if (message.kind === "dropped") {
    dropped = true;
    show("state", `The room says: ${message.reason}.`);
  }
  if (message.kind === "welcome" || message.kind === "plan") {
    const { about, program, layout, dims, options } = message.plan;
    show("about", about);
    show("program", program);
    show("mesh", `${layout}, ${dims.join(" x ")} ranks`);
    show("options", options);
    show("state", "");
    element("part").hidden = false;
    // The secret goes on as it came: after a #, which no server is sent.
    const link = document.querySelector<HTMLAnchorElement>("#take");
    if (link) link.hash = location.hash;
    const command = document.querySelector("#command");
    if (command) command.textContent = `npx shardgrad join '${location.href}'`;
  }
  if (message.kind === "left") members.delete(message.number);
  if (message.kind === "welcome" || message.kind === "members")
    for (const { number, name, adapter, role, state } of message.members)
      if (role === "rank") members.set(number, `${[name, adapter].filter(Boolean).join(", ")}: ${state}`);
  const entries = [...members.values()].map((text) => {
    const entry = document.createElement("li");
    entry.textContent = text;
    return entry;
  });
  element("members").replaceChildren(...entries);
};
