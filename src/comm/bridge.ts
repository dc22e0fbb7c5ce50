// Two channels made one: what comes in on one side goes out on the other, in order, until either closes.

import type { Channel } from "./channel.ts";

export function bridge(a: Channel, b: Channel): void {
  forward(a, b);
  forward(b, a);
}

function forward(from: Channel, to: Channel): void {
  from.listen({
    message: (bytes) => to.send(bytes),
    // What came before must still arrive.
    closed: () => void to.flush().finally(() => to.close()),
  });
}
