// The problem: which layout on which mesh, which form, how large.

import { useComputed } from "@preact/signals";
import type { VNode } from "preact";
import { Choice, ComputesOn, NumberField, Slider } from "../kit/fields.tsx";
import { largestExtent } from "./problem.ts";
import { deepest, state, widest } from "./state.ts";
import { formTexts } from "./words.ts";

const forms = (["AB", "ABT", "ATB"] as const).map((value) => ({
  ...{ value, text: formTexts[value].text, title: formTexts[value].about },
}));

export const FormChoice = (): VNode => <Choice label="Product" value={state.form} options={forms} />;

export function WatchSettings(): VNode {
  const { layout, ranks, q, d, m, n, k } = state;
  const size = useComputed(() => (layout.value === "2d" ? q.value ** 2 : q.value ** 2 * d.value));
  return (
    <section class="panel settings" aria-label="The product">
      <Choice
        label="Layout"
        value={layout}
        options={[
          { value: "1d", text: "1D", title: "A line of ranks" },
          { value: "2d", text: "2D", title: "q × q ranks: SUMMA" },
          { value: "2.5d", text: "2.5D", title: "q × q × d ranks: SUMMA on d planes" },
        ]}
      />
      {layout.value === "1d" ? (
        <Slider label="Ranks" value={ranks} from={2} to={64} />
      ) : (
        <>
          <Slider label="q, ranks in a row" value={q} from={2} to={widest(layout.value)} />
          {layout.value === "2.5d" && <Slider label="d, planes" value={d} from={2} to={deepest(q.value)} />}
          <p class="quiet small">{size.value} ranks</p>
        </>
      )}
      <FormChoice />
      <div class="extents">
        <NumberField label="m, rows" value={m} from={1} to={largestExtent} />
        <NumberField label="n, columns" value={n} from={1} to={largestExtent} />
        <NumberField label="k, summed" value={k} from={1} to={largestExtent} />
      </div>
      <p class="quiet small">
        {formTexts[state.form.value].about}. Sizes need not divide: what is missing is padded with zeros.
      </p>
      <ComputesOn value={state.backend} />
    </section>
  );
}
