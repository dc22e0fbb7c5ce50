// What the product came to: how far from f64, how many words beside the closed form and the lower bound, how long it took here.

import type { VNode } from "preact";
import { Figures } from "../kit/fields.tsx";
import { count, seconds } from "../kit/format.ts";
import { Scrolling } from "../kit/scrolling.tsx";
import { KernelText } from "./kernel.tsx";
import { type Multiplied, meshText } from "./problem.ts";
import { formTexts } from "./words.ts";

export function Results({ run }: { run: Multiplied }): VNode {
  const { result, shape, problem, note } = run;
  const { ranks, error, score, lowerBoundWords, replicationWords, time, equal } = result;
  const most = Math.max(...ranks.map(({ wordsReceived }) => wordsReceived));
  const compared =
    replicationWords > 0 ? [["With its copy of B, held from the start", count(most + replicationWords)] as const] : [];
  const right = error.worst <= 1;
  return (
    <section class="panel" aria-label="What came of it">
      <h2>What came of it</h2>
      <p>
        {`${shape.size} ranks multiplied ${formTexts[problem.form].text} on ${meshText(shape)} in this page (${note}).`}{" "}
        Each compared its block of C with sums in f64: <strong>{right ? "it is right" : "it is wrong"}</strong>,{" "}
        {count(error.checked)} of {count(problem.size.m * problem.size.n)} elements compared, the largest error{" "}
        {error.worst.toPrecision(2)} of what rounding in f32 may do. Every rank's words{" "}
        {equal ? "equal" : "differ from"} the closed form.
      </p>
      <Figures
        items={[
          ["Largest error, of its bound γ(k) |a||b|", error.worst.toPrecision(2)],
          ["Words to the busiest rank", count(most)],
          ["Closed form", count(Math.max(...ranks.map(({ closedFormWords }) => closedFormWords)))],
          ...compared,
          ["Lower bound, on some rank", count(lowerBoundWords)],
          ["Times the bound", score === undefined ? "–" : score.toFixed(2)],
          ["Time on the mesh", seconds(time.mesh.medianMs / 1000)],
          ["Time on one rank", time.serial ? seconds(time.serial.medianMs / 1000) : "not measured"],
        ]}
      />
      <p class="quiet small">
        All ranks share this one device here, so a mesh gains no time: what it costs is what you see. A race gives each
        rank a device of its own. The lower bound holds for every algorithm on so many ranks (Al Daas et al. 2022).
        {replicationWords > 0 &&
          ` It counts copies like messages: every plane holds B from the start, so the ${count(replicationWords)} words that a rank has beyond its share of a single B are added to those received.`}
      </p>
      <details>
        <summary>Rank by rank</summary>
        <RankTable run={run} />
      </details>
      <KernelText run={run} />
    </section>
  );
}

/** Ranks that follow each other and received alike share a line. */
function RankTable({ run }: { run: Multiplied }): VNode {
  const { ranks } = run.result;
  const groups: { from: number; to: number }[] = [];
  for (const [rank, report] of ranks.entries()) {
    const last = groups.at(-1);
    const before = last && ranks[last.from];
    const alike =
      before?.wordsReceived === report.wordsReceived &&
      before.messages === report.messages &&
      before.closedFormWords === report.closedFormWords &&
      before.closedFormMessages === report.closedFormMessages;
    if (last && alike) last.to = rank;
    else groups.push({ from: rank, to: rank });
  }
  return (
    <Scrolling label="Words rank by rank, a table" kind="tall">
      <table>
        <caption>Received in one product on {meshText(run.shape)}</caption>
        <thead>
          <tr>
            <th scope="col">Rank</th>
            <th scope="col">Words</th>
            <th scope="col">Closed form</th>
            <th scope="col">Messages</th>
            <th scope="col">Closed form</th>
          </tr>
        </thead>
        <tbody>
          {groups.map(({ from, to }) => {
            const { wordsReceived, closedFormWords, messages, closedFormMessages } = ranks[from];
            return (
              <tr key={from}>
                <td>{from === to ? from : `${from} to ${to}`}</td>
                <td>{count(wordsReceived)}</td>
                <td>
                  {count(closedFormWords)} {wordsReceived === closedFormWords ? "equal" : "differs"}
                </td>
                <td>{count(messages)}</td>
                <td>
                  {count(closedFormMessages)} {messages === closedFormMessages ? "equal" : "differs"}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </Scrolling>
  );
}
