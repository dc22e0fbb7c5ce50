// The demo pages' server: their files, and rooms that the Together page opens.

import type { RoomServer } from "../cluster/rendezvous/open-room.ts";
import { type ServerOptions, startServer } from "../cluster/rendezvous/server.ts";
import { demoPages } from "./demo-pages.ts";
import { requestedRoom } from "./room-request.ts";

/** Where the page posts to. */
const roomsPath = "/rooms";

export interface DemoServerOptions extends Pick<ServerOptions, "host" | "port" | "publicUrl" | "mostRooms" | "limits"> {
  /** of the built pages */
  folder: string;
  /** other machines may open rooms too */
  share: boolean;
  /** of what pages may open; the server's own when absent */
  opening?: NonNullable<ServerOptions["opening"]>["limits"];
}

/** @throws UserError when the pages are not built, or the address or port cannot be had */
export async function startDemoServer(options: DemoServerOptions): Promise<RoomServer> {
  const { folder, share, opening, ...rest } = options;
  const files = demoPages(folder);
  let origin = "";
  const server = await startServer({
    ...rest,
    pages: (path) => {
      const page = files(path);
      return page && path === "/together/" ? { ...page, body: withRooms(String(page.body), origin) } : page;
    },
    opening: {
      ...{ path: roomsPath, shared: share, make: requestedRoom, limits: opening },
      pageOf: (name) => `/together/?room=${name}`,
    },
  });
  origin = server.origin;
  return server;
}

/** The page is told that there are rooms here, and how others reach them: a host of files alone says nothing. */
const withRooms = (html: string, origin: string): string =>
  html.replace("<head>", `<head>\n<meta name="shardgrad-rooms" content="${origin}">`);
