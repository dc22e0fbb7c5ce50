// What a worker was asked last, and what has come of it: an older answer stands, marked as such, until the next one is there.

import { batch, computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { proxy } from "comlink";
import { wordsOf } from "../kit/engine.ts";
import { fieldsUnmended } from "../kit/fields.tsx";

export interface Answer<T> {
  readonly value: ReadonlySignal<T | undefined>;
  /** what the worker is at */
  readonly busy: ReadonlySignal<string | undefined>;
  /** what was wrong with the question; there is no value then */
  readonly wrong: ReadonlySignal<string | undefined>;
  /** the value answers another question than the present one */
  readonly stale: ReadonlySignal<boolean>;
}

interface Asking<T> extends Answer<T> {
  readonly value: Signal<T | undefined>;
  readonly busy: Signal<string | undefined>;
  readonly wrong: Signal<string | undefined>;
  /** the question that the value answers */
  readonly answers: Signal<string | undefined>;
  /** counts what was asked: what an older one still tells is not heard */
  turn: number;
}

/** @param wanted the question as the page asks it now, as a text; what is of no one question yet answers it */
export function answerTo<T>(wanted: () => string): Asking<T> {
  const [value, answers] = [signal<T>(), signal<string>()];
  const stale = computed(() => value.value !== undefined && (fieldsUnmended.value || answers.value !== wanted()));
  return { value, answers, stale, busy: signal<string>(), wrong: signal<string>(), turn: 0 };
}

/** @param question as a text */
export async function ask<T>(
  answer: Asking<T>,
  options: { question: string; doing: string; work: (tell: (what: string) => void) => Promise<T | undefined> },
): Promise<void> {
  const { question, doing, work } = options;
  answer.turn++;
  const { turn } = answer;
  answer.busy.value = doing;
  const end = (value: T | undefined, wrong?: string) => {
    if (turn !== answer.turn) return;
    // What is told goes another way than the answer, and may come after it.
    answer.turn++;
    batch(() => {
      answer.value.value = value;
      answer.answers.value = question;
      answer.wrong.value = wrong;
      answer.busy.value = undefined;
    });
  };
  const tell = (what: string) => {
    if (turn === answer.turn) answer.busy.value = what;
  };
  try {
    end(await work(proxy(tell)));
  } catch (error) {
    end(undefined, wordsOf(error));
  }
}

/** There is no such question any more.
 *  @returns whether something was being asked */
export function forget<T>(answer: Asking<T>): boolean {
  const asking = answer.busy.peek() !== undefined;
  answer.turn++;
  batch(() => {
    answer.value.value = undefined;
    answer.wrong.value = undefined;
    answer.busy.value = undefined;
  });
  return asking;
}
