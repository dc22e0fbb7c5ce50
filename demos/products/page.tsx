import { showPage } from "../kit/shell.tsx";

showPage("products", () => <p>…</p>);
