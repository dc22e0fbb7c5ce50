// What a room says of a training run, and the text it gives: both come from whoever opened the room.

import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "uvu";
import { equal, is, match, ok } from "uvu/assert";
import { UserError } from "../../src/backend/errors.ts";
import { createBackend } from "../../src/backend/select.ts";
import { planLines } from "../../src/cli/room-text.ts";
import { planned, takePart } from "../../src/cluster/take-part.ts";
import { textOfRoom } from "../../src/cluster/training-text.ts";
import { CommunicationError } from "../../src/comm/link.ts";
import { gpt2, parameters } from "../training/toy.ts";
import { refuses } from "./refusal.ts";

const bytes = new TextEncoder().encode("a text of a room\n".repeat(5000));
const sha256 = createHash("sha256").update(bytes).digest("hex");
let texts = 0;
/** Under a path that no test before had. */
const text = () => ({ path: `/text/${++texts}`, sha256, bytes: bytes.length });

const training = {
  config: { ...gpt2 },
  parameters: { ...parameters, batch: 4 },
  tokenizer: "char",
  text: text(),
  timeoutMs: 1000,
};
const plan = (options: unknown, change: object = {}) => ({
  ...{ program: "train", layout: "1d", dims: [2] as number[], options: JSON.stringify(options) },
  ...change,
});

test("a plan of this version's own making is taken", () => {
  equal(planned(plan(training)).training, training);
});

test("who is asked reads a training run's sizes, and all options of another; programs get them all", () => {
  const shown = (options: unknown, change = {}) => {
    const asked = { ...plan(options, change), about: "" };
    const [line, whole] = [planLines(asked), planLines(asked, { whole: true })].map((lines) => lines.at(-1));
    is(whole, `options  ${JSON.stringify(options)}`);
    return line;
  };
  const { steps, context } = parameters;
  is(
    shown({ ...training, parameters: { ...training.parameters, accumulate: 3, wire: "f16" } }),
    `options  gpt2 of 2 layers, width 20, 2 heads, ffn 80, vocabulary ${gpt2.vocab_size}; ${steps} steps of 3 x 4 x ${context} tokens; f32, f16 on the wire`,
  );
  for (const [options, change] of [
    [{ times: 1 }, { program: "hello" }],
    [{ ...training, parameters: null }, {}],
    [{ ...training, config: { model_type: "none" } }, {}],
  ] as const)
    is(shown(options, change), `options  ${JSON.stringify(options)}`);
});

test("plans that are none of a training run are refused in a sentence, whatever they have in place of it", () => {
  const none = /the room's options are not those of a training run/;
  for (const options of [null, 1, "x", [], {}, { ...training, text: null }, { ...training, parameters: null }])
    refuses(() => planned(plan(options)), none);
  const changed = (change: object) => refuses(() => planned(plan({ ...training, ...change })), none);
  for (const [field, values] of Object.entries({
    path: [
      "//evil.example/text",
      "/../text",
      "/a/../b",
      "/text?x",
      "http://evil.example/",
      "text",
      "",
      "/a//b",
      1,
      undefined,
    ],
    sha256: ["", "x".repeat(64), "A".repeat(64), 1, ["0".repeat(64)]],
    bytes: [0, -1, 0.5, 2 ** 28 + 1, "9", null],
  }))
    for (const value of values) changed({ text: { ...text(), [field]: value } });
  for (const [field, values] of Object.entries({
    batch: [0, -1, 1.5, "4", null, 2 ** 31],
    steps: [0, 1e300, null],
    learningRate: [-1, "1", null],
    dropout: [1, -0.1],
    recompute: [0, "true"],
    seed: [-1, 2 ** 32],
    evalEvery: [-1, 0.5],
    dtype: ["f64", 1],
    lossScale: [0, -1],
  }))
    for (const value of values) changed({ parameters: { ...training.parameters, [field]: value } });
  const { steps: _, ...stepless } = training.parameters;
  changed({ parameters: stepless });
  changed({ tokenizer: "words" });
  for (const timeoutMs of [0, -1, 1e300, "1"]) changed({ timeoutMs });
  refuses(() => planned(plan(training, { program: "rm" })), /the room runs rm, which this version does not know/);
  refuses(() => planned(plan(training, { options: "{" })), /the room's options are not JSON/);
});

/** A server that answers as it likes. */
async function answering(
  answer: (response: ServerResponse) => void,
  work: (url: string) => Promise<void>,
): Promise<void> {
  const server = createServer((_, response) => answer(response)).listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    await work(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const start = {};
const refusalOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "taken",
    (error: unknown) => (error instanceof UserError ? error.message : `no UserError: ${error}`),
  );

test("the text that a plan names is taken from the room's server, once", async () => {
  let asked = 0;
  const give = (response: ServerResponse) => {
    asked++;
    response.end(bytes);
  };
  await answering(give, async (url) => {
    const wanted = text();
    for (let i = 0; i < 3; i++) ok(Buffer.from(bytes).equals(await textOfRoom({ start, url, wanted })));
    is(asked, 1, "a run that begins again has it");
    await textOfRoom({ start, url, wanted: text() });
    is(asked, 2, "another room's text is another");
    await textOfRoom({ start, url, wanted: text(), given: bytes });
    is(asked, 2, "a rank's own is not fetched");
  });
});

test("a text that is longer, shorter, another, elsewhere or not there is refused, and no more of it is read than the plan says", async () => {
  const other = bytes.slice();
  other[100] ^= 1;
  const cases: [answer: (response: ServerResponse) => void, says: RegExp][] = [
    [(response) => response.end(Buffer.concat([bytes, bytes])), /gives more than the 85000 bytes that its plan names/],
    [(response) => response.end(bytes.subarray(1)), /got 84999 bytes with SHA-256 [0-9a-f]{64}, need 85000 bytes/],
    [(response) => response.end(other), /is not the one that the room's plan names: got 85000 bytes with SHA-256/],
    [(response) => response.writeHead(404).end(), /answered 404 where its text should be/],
  ];
  for (const [answer, says] of cases)
    await answering(answer, async (url) => match(await refusalOf(textOfRoom({ start, url, wanted: text() })), says));
  // One that never ends.
  let sent = 0;
  const flood = (response: ServerResponse) => {
    const more = () => {
      while (!response.destroyed && response.write(bytes)) sent += bytes.length;
    };
    response.on("drain", more);
    more();
  };
  await answering(flood, async (url) => {
    match(await refusalOf(textOfRoom({ start, url, wanted: text() })), /gives more than the 85000 bytes/);
    ok(sent < 64 << 20, `${sent} bytes were sent`);
  });
  let elsewhere = 0;
  await answering(
    () => elsewhere++,
    (target) =>
      answering(
        (response) => response.writeHead(302, { location: target }).end(),
        async (url) => {
          match(
            await refusalOf(textOfRoom({ start, url, wanted: text() })),
            /the room's server does not give its text: .*redirect/,
          );
          is(elsewhere, 0, "nobody is sent to another server");
        },
      ),
  );
  match(
    await refusalOf(textOfRoom({ start, url: "http://127.0.0.1:9/", wanted: text(), given: other })),
    /use the same file, or none: the room gives it/,
  );
});

test("a text that never comes, or stalls halfway, keeps no rank in a run that has ended", async () => {
  const stalls: ((response: ServerResponse) => void)[] = [
    () => {},
    (response) => response.write(bytes.subarray(0, 100)),
  ];
  for (const stall of stalls) {
    let asked!: () => void;
    const isAsked = new Promise<void>((resolve) => {
      asked = resolve;
    });
    const answer = (response: ServerResponse) => {
      stall(response);
      // Later than what was written, so that the body is what is waited for.
      setTimeout(asked, 50);
    };
    await answering(answer, async (url) => {
      const over = new AbortController();
      const waiting = takesPart({ url, over: over.signal });
      await isAsked;
      over.abort(new Error("the run has ended: rank 1: its device was lost"));
      const error = await waiting;
      ok(error instanceof CommunicationError, String(error));
      is(error.message, "the run has ended: rank 1: its device was lost");
    });
  }
});

test("a rank whose run ends before it connects does not look for the others", async () => {
  for (const when of ["before", "begun"] as const) {
    const over = new AbortController();
    const end = () => over.abort(new Error("the run has ended: rank 1: its device was lost"));
    if (when === "before") end();
    const begun = when === "begun" ? end : undefined;
    const error = await takesPart({ url: "http://127.0.0.1:9/", over: over.signal, given: bytes, begun });
    ok(error instanceof CommunicationError, String(error));
    is(error.message, "the run has ended: rank 1: its device was lost");
  }
});

/** What rank 0 of two ends with when it hears of the run's end before it is connected. */
async function takesPart(options: {
  url: string;
  over: AbortSignal;
  given?: Uint8Array;
  /** called when its part has begun, and it looks at the text */
  begun?: () => void;
}): Promise<unknown> {
  const { url, over, given, begun } = options;
  const { backend } = await createBackend({ backend: "cpu", threads: 1, tune: false });
  try {
    const part = takePart({
      start: { ...plan({ ...training, text: text() }), rank: 0, size: 2, over },
      ...{ backend, url, text: given },
      connect: () => Promise.reject(new Error("it connects")),
    });
    begun?.();
    return await part.catch((error: unknown) => error);
  } finally {
    backend.dispose();
  }
}

test.run();
