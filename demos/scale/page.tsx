import { showPage } from "../kit/shell.tsx";

showPage("scale", () => <p>…</p>);
