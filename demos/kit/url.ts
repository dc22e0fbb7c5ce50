// What a page shows is in its address: a view can be shared, and the back button goes back to the one before.

import { batch, effect, type Signal, signal } from "@preact/signals";

/** How a value is written into an address and read from it; `undefined` for a text that is none. */
export interface Codec<T> {
  read(text: string): T | undefined;
  write(value: T): string;
}

export const wholeNumber = ({ from, to }: { from: number; to: number }): Codec<number> => ({
  read: (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    return value >= from && value <= to ? value : undefined;
  },
  write: String,
});

export const decimal = ({ from, to }: { from: number; to: number }): Codec<number> => ({
  read: (text) => {
    const value = /^\d{1,15}(\.\d{1,9})?(e[+-]?\d{1,2})?$/.test(text) ? Number(text) : Number.NaN;
    return value >= from && value <= to ? value : undefined;
  },
  write: String,
});

export const oneOf = <T extends string>(...values: readonly T[]): Codec<T> => ({
  read: (text) => values.find((value) => value === text),
  write: (value) => value,
});

export const flag: Codec<boolean> = {
  read: (text) => (text === "1" ? true : text === "0" ? false : undefined),
  write: (value) => (value ? "1" : "0"),
};

/** A value of the address, and what it is at first. */
export interface Field<T> {
  codec: Codec<T>;
  initial: T;
}
export const field = <T>(codec: Codec<T>, initial: NoInfer<T>): Field<T> => ({ codec, initial });

type State<V> = { readonly [K in keyof V]: Signal<V[K]> };

/** Signals whose values the address has after its `?`, where they differ from the first; what it has that is no value is left out.
 *  Changes close together make one entry of the history. */
export function urlState<V extends object>(fields: { readonly [K in keyof V]: Field<V[K]> }): State<V> {
  const names = Object.keys(fields) as (keyof V & string)[];
  const state = Object.fromEntries(names.map((name) => [name, signal(fields[name].initial)])) as unknown as State<V>;
  const read = <K extends keyof V & string>(name: K, query: URLSearchParams): void => {
    const { codec, initial } = fields[name];
    const text = query.get(name);
    state[name].value = (text === null ? undefined : codec.read(text)) ?? initial;
  };
  const readAll = () => {
    const query = new URLSearchParams(location.search);
    for (const name of names) read(name, query);
  };
  const write = <K extends keyof V & string>(name: K): string | undefined => {
    const { codec, initial } = fields[name];
    const text = codec.write(state[name].value);
    return text === codec.write(initial) ? undefined : text;
  };
  readAll();
  addEventListener("popstate", () => batch(readAll));
  let lastMs = Number.NEGATIVE_INFINITY;
  let first = true;
  effect(() => {
    const query = new URLSearchParams();
    for (const name of names) {
      const text = write(name);
      if (text !== undefined) query.set(name, text);
    }
    const search = query.size > 0 ? `?${query}` : "";
    const atOnce = first;
    first = false;
    if (search === location.search) return;
    const url = `${location.pathname}${search}${location.hash}`;
    const nowMs = performance.now();
    // A slider that is drawn makes one entry: a browser refuses more than some hundreds, and nobody goes back through them.
    if (atOnce || nowMs - lastMs < 1000) history.replaceState(null, "", url);
    else history.pushState(null, "", url);
    lastMs = nowMs;
  });
  return state;
}
