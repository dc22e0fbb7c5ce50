import { showPage } from "../kit/shell.tsx";

showPage("together", () => <p>…</p>);
