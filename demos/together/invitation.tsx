// The room's link: to copy, to scan, or for a terminal.

import { useSignal } from "@preact/signals";
import type { VNode } from "preact";
import { useMemo, useRef } from "preact/hooks";
import { renderSVG } from "uqr";
import { Notice } from "../kit/fields.tsx";
import { isLocalLink, joinLink } from "./server.ts";

/** @param open whether it is shown whole at first: while a run is on nobody is missing */
export function Invitation({ room, secret, open }: { room: string; secret: string; open: boolean }): VNode {
  const link = joinLink(room, secret);
  const local = isLocalLink(link);
  const field = useRef<HTMLInputElement>(null);
  const copied = useSignal("");
  const picture = useMemo(() => `data:image/svg+xml,${encodeURIComponent(renderSVG(link, { border: 2 }))}`, [link]);
  const copy = async () => {
    field.current?.select();
    // Pages that came neither over https nor from this machine have no clipboard.
    try {
      await navigator.clipboard.writeText(link);
      copied.value = "Copied.";
    } catch {
      copied.value = "The link is selected: copy it with Ctrl+C, or ⌘C.";
    }
  };
  return (
    <details class="panel" open={open}>
      <summary>
        <h2>Bring another device</h2>
      </summary>
      <div class="invitation">
        {!local && <img class="qr" src={picture} alt="QR code of the link" width={180} height={180} />}
        <div class="columns">
          <div class="field">
            <label for="link">Link: who has it may join</label>
            <div class="row">
              <input id="link" ref={field} class="link" readOnly value={link} onFocus={() => field.current?.select()} />
              <button type="button" onClick={() => void copy()}>
                Copy
              </button>
            </div>
            <span class="small quiet" role="status">
              {copied.value}
            </span>
          </div>
          <p class="small">
            From a terminal: <code>npx shardgrad join '{link}'</code>
          </p>
        </div>
      </div>
      {local && (
        <Notice title="The link works on this machine alone">
          Open it in another tab or window. For other devices, start the server so that they reach it:{" "}
          <code>npx shardgrad demo --host 0.0.0.0</code>
        </Notice>
      )}
    </details>
  );
}
