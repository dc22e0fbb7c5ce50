// What ends a run, in sentences for who started it: what happened, and what helps.

import { isFull } from "./keep.ts";
import type { Failure } from "./news.ts";

/** What was thrown. Errors of ranks elsewhere come with their names, but not always with their classes. */
export function failureOf(error: unknown): Failure {
  if (!(error instanceof Error)) return { title: "The run has failed", text: String(error) };
  const { name, message } = error;
  if (name === "DivergedError") {
    const { step, learningRate, tensor } = error as unknown as { step: number; learningRate: number; tensor: string };
    return {
      title: `The loss ran away at step ${step}`,
      text: `At a learning rate of ${Number(learningRate.toPrecision(3))} ${tensor} is no longer a finite number. Take a smaller learning rate and start again, or go on from the last checkpoint with a smaller one.`,
    };
  }
  if (name === "OutOfMemoryError" || (name === "RangeError" && /memory|allocat/i.test(message)))
    return {
      title: "There is not enough memory",
      text: `${sentence(message)} Take a smaller width, batch or context, or fewer layers; ranks in one process share one device's memory.`,
    };
  if (name === "DeviceLostError") {
    const [, why] = /lost \((.*)\)/.exec(message) ?? [];
    return {
      title: "The device that computed has gone",
      text: `${why ? `The browser says: ${sentence(why)}` : sentence(message)} Browsers and drivers take a GPU away when it hangs, sleeps or is updated. Start again, or go on from the last checkpoint.`,
    };
  }
  if (name === "CommunicationError" || message.startsWith("the worker of rank"))
    return {
      title: "A rank has stopped",
      text: `${sentence(message.replace(/Uncaught (\w*Error: )?/, ""))} A run needs all of its ranks. Start again, or go on from the last checkpoint.`,
    };
  if (name === "UserError") return { title: "This run cannot be made", text: sentence(message) };
  return { title: "The run has failed", text: sentence(message) };
}

/** What kept a checkpoint from being kept. */
export function notKeptOf(error: unknown, step: number): Failure {
  const full = isFull(error);
  return {
    title: full ? "This browser's storage is full" : "A checkpoint could not be kept",
    text: `${full ? `There was no room for the checkpoint of step ${step}.` : sentence(error instanceof Error ? error.message : String(error))} The one kept before stays, and the run goes on. Download a checkpoint, or free space and save again.`,
  };
}

/** What kept some of a finished run from being kept for a later look. */
export const notShownOf = (error: unknown): Failure => ({
  title: isFull(error) ? "This browser's storage is full" : "What is shown of this run could not be kept",
  text: `${isFull(error) ? "There was no room for all that is shown of this run." : sentence(error instanceof Error ? error.message : String(error))} Its checkpoint is kept; download a report to have the rest.`,
});

/** One that begins with a capital letter and ends with a full stop. */
const sentence = (text: string): string =>
  `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
