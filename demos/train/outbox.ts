// News on their way to the page: gathered, so that it draws some times a second, however short steps are.

import type { News } from "./news.ts";

/** Twenty times a second: a person sees no more, and the page's thread has time for the rest. */
const everyMs = 50;

export class Outbox {
  readonly #send: (news: News) => void;
  #news: News = {};
  #timer: ReturnType<typeof setTimeout> | undefined;
  #sentMs = 0;

  constructor(send: (news: News) => void) {
    this.#send = send;
  }

  /** Lists grow, all else is replaced. */
  add({ steps, evals, samples, ...rest }: News): void {
    const news = this.#news;
    Object.assign(news, rest);
    if (steps) (news.steps ??= []).push(...steps);
    if (evals) (news.evals ??= []).push(...evals);
    if (samples) (news.samples ??= []).push(...samples);
    this.#timer ??= setTimeout(() => this.flush(), Math.max(0, this.#sentMs + everyMs - performance.now()));
  }

  /** Sends what there is, now. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#sentMs = performance.now();
    const news = this.#news;
    this.#news = {};
    if (Object.keys(news).length > 0) this.#send(news);
  }
}
