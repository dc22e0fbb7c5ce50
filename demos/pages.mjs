// The demo pages: what the build makes a file of, and every page's navigation shows. Folders of demos/ have the same names.

/** @typedef {{ name: string, title: string, label: string, about: string }} DemoPage */

/** @type {readonly DemoPage[]} */
export const pages = [
  {
    name: "start",
    title: "shardgrad",
    label: "Start",
    about: "Train transformers on a mesh of ranks, in this browser, and look into every message they send.",
  },
  {
    name: "products",
    title: "Products on a mesh",
    label: "Products",
    about: "One matrix product, cut into blocks: who holds what, who sends what to whom, and what it costs.",
  },
  {
    name: "train",
    title: "Train",
    label: "Train",
    about: "A GPT learns your text in this page, on as many ranks as you like, and shows what each of them does.",
  },
  {
    name: "scale",
    title: "Scale",
    label: "Scale",
    about: "A training step on devices that are not there: which layout is fastest, on how many, and why.",
  },
  {
    name: "together",
    title: "Together",
    label: "Together",
    about: "Several devices, one model: open a room, share its link, and train across all that join.",
  },
];

/** Where a page is, from the folder that all are in; every one is one folder deep, but the first. */
export const pathOf = (name) => (name === "start" ? "" : `${name}/`);
