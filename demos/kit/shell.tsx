// What stands around every page: where one is, where one can go, light or dark, and how a page comes to life.

import { signal } from "@preact/signals";
import { type ComponentChildren, render, type VNode } from "preact";
import { pages, pathOf } from "../pages.mjs";
import "./style.css";

type Theme = "auto" | "light" | "dark";
const themeKey = "shardgrad-theme";
const isTheme = (text: string | null): text is Theme => text === "auto" || text === "light" || text === "dark";

/** Grows when colours change: who draws on a canvas draws again. */
export const themeChanges = signal(0);
const theme = signal<Theme>(readTheme());

function readTheme(): Theme {
  // A visitor may have forbidden storage; then the choice lasts as long as the page.
  try {
    const kept = localStorage.getItem(themeKey);
    return isTheme(kept) ? kept : "auto";
  } catch {
    return "auto";
  }
}

function setTheme(next: Theme): void {
  theme.value = next;
  showTheme();
  try {
    localStorage.setItem(themeKey, next);
  } catch {
    // as above
  }
}

function showTheme(): void {
  if (theme.value === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
  themeChanges.value++;
}

/** A custom property of the style sheet, as a colour that a canvas takes. */
export function colour(name: `--${string}`): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

function Top({ current }: { current: string }): VNode {
  const up = current === "start" ? "./" : "../";
  return (
    <header class="top">
      <a class="brand" href={up}>
        <svg viewBox="0 0 16 16" aria-hidden="true">
          <path d="M1 1h6v6H1zM9 9h6v6H9z" fill="var(--series-1)" />
          <path d="M9 1h6v6H9zM1 9h6v6H1z" fill="var(--series-2)" />
        </svg>
        shardgrad
      </a>
      <nav aria-label="Demos">
        <ul>
          {pages.slice(1).map(({ name, label }) => (
            <li key={name}>
              <a href={`${up}${pathOf(name)}`} aria-current={name === current ? "page" : undefined}>
                {label}
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <label class="theme">
        <span class="hidden">Colours</span>
        <select value={theme.value} onChange={({ currentTarget: { value } }) => isTheme(value) && setTheme(value)}>
          <option value="auto">Auto</option>
          <option value="light">Light</option>
          <option value="dark">Dark</option>
        </select>
      </label>
    </header>
  );
}

const allIsHere =
  "Everything on this page is computed on this device. Nothing you type, paste or drop leaves it, unless you open a room.";

/** Puts a page into the document: its name, which says what the navigation marks, and what is below title and lede.
 *  @param footer where what is computed goes, in words */
export function showPage(name: string, Content: () => ComponentChildren, footer = allIsHere): void {
  const { title, about } = pages.find((page) => page.name === name)!;
  showTheme();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => themeChanges.value++);
  const Page = () => (
    <>
      <a class="skip" href="#content">
        Skip to the content
      </a>
      <Top current={name} />
      <main id="content" tabIndex={-1}>
        <div>
          <h1>{title}</h1>
          <p class="lede">{about}</p>
        </div>
        <Content />
      </main>
      <footer>{footer}</footer>
    </>
  );
  document.body.replaceChildren();
  render(<Page />, document.body);
}
