// The product's kernel as it is compiled, to be read.

import { useSignal } from "@preact/signals";
import type { VNode } from "preact";
import { useEffect } from "preact/hooks";
import { wordsOf } from "../kit/engine.ts";
import { count } from "../kit/format.ts";
import { Scrolling } from "../kit/scrolling.tsx";
import type { Kernel, Multiplied } from "./problem.ts";
import { kernelOf } from "./state.ts";

/** Compiled shaders have no indentation: every line is as far in as braces are open before it. */
function indented(code: string): string {
  let depth = 0;
  const lines = code.trimEnd().split("\n");
  return lines
    .map((line) => {
      const shown = "  ".repeat(Math.max(0, depth - (line.startsWith("}") ? 1 : 0))) + line;
      depth += line.split("{").length - line.split("}").length;
      return shown;
    })
    .join("\n");
}

/** Closed at first, and asked for once it is opened. */
export function KernelText({ run }: { run: Multiplied }): VNode {
  const open = useSignal(false);
  const kernel = useSignal<Kernel | undefined>(undefined);
  const wrong = useSignal<string | undefined>(undefined);
  const shown = open.value;
  useEffect(() => {
    if (!shown) return;
    let gone = false;
    kernelOf(run).then(
      (answer) => {
        if (gone) return;
        kernel.value = answer;
        wrong.value = undefined;
      },
      (error) => !gone && (wrong.value = wordsOf(error)),
    );
    return () => {
      gone = true;
    };
  }, [run, shown]);
  return (
    <details onToggle={({ currentTarget }) => (open.value = currentTarget.open)}>
      <summary>The kernel, as it is compiled</summary>
      {wrong.value !== undefined && <p role="alert">{wrong.value}</p>}
      {kernel.value ? <Text kernel={kernel.value} /> : <p class="quiet small">Looking for it…</p>}
    </details>
  );
}

function Text({ kernel }: { kernel: Kernel }): VNode {
  const { shader, code, tile, workgroups, size, ran } = kernel;
  const { m, n, k } = size;
  const what = `shaders/${shader}.wgsl, its constants set and its comments left out`;
  return (
    <>
      <p class="small">
        {ran
          ? `This ran here on every rank: ${what}.`
          : `Here the processor multiplied, with the same catalogue of kernels in WebAssembly. On a GPU this would run on every rank: ${what}.`}{" "}
        {`A workgroup computes a tile of ${tile.rows} × ${tile.columns} elements: ${count(workgroups)} for each product of ${count(m)} × ${count(k)} by ${count(k)} × ${count(n)}.`}
      </p>
      <Scrolling label={`WGSL of ${shader}`} kind="tall wgsl">
        <pre>{indented(code)}</pre>
      </Scrolling>
    </>
  );
}
