// What the backend and its threads say to each other in messages, which are taken in order. Where memory is shared, most of what is asked
// goes through it instead (ring.ts).

/** A thread's first message. */
export interface Start {
  readonly module: WebAssembly.Module;
  /** shared by all threads; absent where memory cannot be shared, and the one thread makes its own */
  readonly memory: WebAssembly.Memory | undefined;
  readonly thread: number;
  readonly threads: number;
  /** exports, by their numbers in records */
  readonly passes: readonly string[];
}

export type Request =
  | { readonly do: "run"; readonly records: Float64Array }
  | { readonly do: "write"; readonly at: number; readonly data: Uint8Array }
  /** answered with the same array, and as many bytes in it behind `room` others; 0 only waits */
  | {
      readonly do: "read";
      readonly id: number;
      readonly at: number;
      readonly bytes: number;
      readonly room: number;
      readonly data: Uint8Array<ArrayBuffer>;
    }
  /** answered with when each pass ran since the message before; on: and goes on taking times */
  | { readonly do: "times"; readonly on: boolean }
  /** only where the memory is not shared */
  | { readonly do: "grow"; readonly pages: number };

export type Answer =
  | { readonly did: "start" }
  | { readonly did: "read"; readonly id: number; readonly data: Uint8Array<ArrayBuffer> }
  /** what a record asked for that wants to be told of */
  | { readonly did: "copy" }
  /** start and end of each pass in turn, microseconds since 1970 */
  | { readonly did: "times"; readonly times: Float64Array }
  /** what comes after is not done any more */
  | { readonly did: "fail"; readonly error: "memory" | "pass"; readonly message: string };
