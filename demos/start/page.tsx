// The first page: what this is, and where to go.

import { showPage } from "../kit/shell.tsx";
import { pages, pathOf } from "../pages.mjs";

showPage("start", () => (
  <ul>
    {pages.slice(1).map(({ name, title, about }) => (
      <li key={name}>
        <a href={pathOf(name)}>{title}</a>: {about}
      </li>
    ))}
  </ul>
));
