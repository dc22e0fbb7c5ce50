// The page: questions on the left, answers on the right.

import type { VNode } from "preact";
import { fieldsUnmended, Notice } from "../kit/fields.tsx";
import { showPage } from "../kit/shell.tsx";
import { Commands } from "./commands.tsx";
import { Controls } from "./controls.tsx";
import { CrossoverPlot } from "./crossover-plot.tsx";
import { Curve } from "./curve.tsx";
import { Headline, Meshes } from "./meshes.tsx";
import { PlanTable } from "./plan-table.tsx";
import { addressOf, examples } from "./question.ts";
import { comparison, crashed, start } from "./state.ts";
import { SweepPlot } from "./sweep-plot.tsx";
import { Timeline } from "./timeline.tsx";
import "./page.css";

/** What is below comes when it is known how much is above: nothing jumps. */
const Answers = (): VNode => (
  <>
    <Meshes />
    {comparison.value.value && (
      <>
        <div class="pair">
          <PlanTable />
          <Timeline />
        </div>
        <div class="pair">
          <SweepPlot />
          <Curve />
        </div>
        <div class="pair">
          <CrossoverPlot />
          <Commands />
        </div>
      </>
    )}
  </>
);

function Content(): VNode {
  const wrong = comparison.wrong.value;
  return (
    <div class="scale">
      <nav class="examples small" aria-label="Examples">
        <span class="quiet">Look at</span>
        {examples.map(({ label, question }) => (
          <a key={label} href={addressOf(question)}>
            {label}
          </a>
        ))}
      </nav>
      <div class="asked">
        <Headline />
        <Controls />
      </div>
      <div class="answers">
        {crashed.value && (
          <Notice kind="bad" title="The simulator has stopped">
            {crashed.value} Reload the page; its address has all that you chose.
          </Notice>
        )}
        {wrong && (
          <Notice kind="bad" title="This cannot be simulated">
            {wrong}
          </Notice>
        )}
        {fieldsUnmended.value && (
          <Notice kind="warn" title="A field waits to be mended">
            What stands in it is no value: the answers below are still those to the one before.
          </Notice>
        )}
        {wrong === undefined && <Answers />}
      </div>
    </div>
  );
}

showPage("scale", Content);
start();
