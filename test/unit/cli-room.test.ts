// A room that trains, in terminals alone: what each is told of how the run ended.

import { test } from "uvu";
import { is, match } from "uvu/assert";
import { ensureBuilt } from "../../scripts/build.mjs";
import { Commands } from "../network/command.ts";

const model = ["--width", "32", "--layers", "1", "--heads", "2", "--batch", "4", "--context", "16"];
const run = ["--mesh", "2", "--steps", "3", ...model, "--eval-batches", "1", "--sample", "5"];

const commands = new Commands();
const start = (...words: string[]) => commands.start(words);

test.before(ensureBuilt);
test.after(() => {
  commands.kill();
});

test("join ends with the validation loss, what was received and the sample; serve tells when the run began and ended", async () => {
  const room = start("serve", "--host", "127.0.0.1", "--port", "0", ...run);
  const { joinUrl } = await room.event(({ event }) => event === "room");
  const ranks = [1, 2].map(() => start("join", String(joinUrl), "--yes", "--backend", "cpu", "--threads", "1"));
  for (const rank of ranks) is(await rank.ended, 0, rank.errors);
  for (const { errors, events } of ranks) {
    const of = (kind: string) => events.filter(({ event }) => event === kind);
    const [done] = of("done") as { validationLoss: number }[];
    const said = `^3 steps in .*, validation loss of the whole split ${done.validationLoss.toFixed(4)}, peak memory .*B$`;
    match(errors, new RegExp(said, "m"));
    const { closedFormBytes } = of("step")[2] as { closedFormBytes: number[] };
    const bytes = closedFormBytes[0].toLocaleString("en-US");
    match(errors, new RegExp(`^this rank received ${bytes} bytes a step, as the closed form says, to the byte`, "m"));
    const [{ text }] = of("sample") as { text: string }[];
    is(errors.includes(`\n${text}\n`), true, errors);
  }
  await room.says(/^the run has begun on 2 ranks\n(.*\n)*the run has ended, .* after it began$/m);
});

test.run();
