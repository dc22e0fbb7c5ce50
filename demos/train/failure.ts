// What ends a run, in sentences for who started it: what happened, and what helps.

import type { Failure } from "./news.ts";

/** What was thrown. Errors of ranks elsewhere come with their names, but not always with their classes. */
export function failureOf(error: unknown): Failure {
  if (!(error instanceof Error)) return { title: "The run has failed", text: String(error) };
  const { name, message } = error;
  if (name === "DivergedError") {
    const { step, learningRate, tensor } = error as unknown as { step: number; learningRate: number; tensor: string };
    return {
      title: `The loss ran away at step ${step}`,
      text: `At a learning rate of ${learningRate} ${tensor} is no longer a finite number. Take a smaller learning rate and start again, or go on from the last checkpoint with a smaller one.`,
    };
  }
  if (name === "OutOfMemoryError" || (name === "RangeError" && /memory|allocat/i.test(message)))
    return {
      title: "There is not enough memory",
      text: `${sentence(message)} Take a smaller width, batch or context, or fewer layers; ranks in one process share one device's memory.`,
    };
  if (name === "DeviceLostError")
    return {
      title: "The device that computed has gone",
      text: `${sentence(message)} Browsers and drivers take a GPU away when it hangs, sleeps or is updated. Start again, or go on from the last checkpoint.`,
    };
  if (name === "CommunicationError" || message.startsWith("the worker of rank"))
    return {
      title: "A rank has stopped",
      text: `${sentence(message)} A run needs all of its ranks. Start again, or go on from the last checkpoint.`,
    };
  if (name === "UserError") return { title: "This run cannot be made", text: sentence(message) };
  return { title: "The run has failed", text: sentence(message) };
}

/** One that begins with a capital letter and ends with a full stop. */
const sentence = (text: string): string =>
  `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
