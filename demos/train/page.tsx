import { showPage } from "../kit/shell.tsx";

showPage("train", () => <p>…</p>);
