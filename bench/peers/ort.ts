// ONNX Runtime Web: a graph of one MatMul (or Gemm, where an operand is transposed), operands given at every run, as a model's
// activations would be. It trains nothing.

import type * as Ort from "onnxruntime-web";
import type { Engine } from "../harness.ts";
import { inputsOf, type ProductTask } from "../tasks.ts";

/** @param options.wasmPath URL of the folder with its .wasm and .mjs files */
export async function openOrt(
  device: "webgpu" | "wasm",
  { version, threads, wasmPath }: { version: string; threads: number; wasmPath: string },
): Promise<Engine> {
  const ort: typeof Ort =
    device === "webgpu" ? await import("onnxruntime-web/webgpu") : await import("onnxruntime-web/wasm");
  ort.env.wasm.wasmPaths = wasmPath;
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  return {
    name: "onnxruntime-web",
    version,
    adapter: device,
    async prepare(task) {
      if (task.subject !== "products") return undefined;
      const { m, n, k, form } = task;
      const session = await ort.InferenceSession.create(graph(task), {
        executionProviders: [device],
        logSeverityLevel: 3,
        // Its threads would spin after a run, on the cores of whoever is next.
        extra: { session: { intra_op: { allow_spinning: "0" } } },
      });
      const { a, b } = inputsOf(task);
      const feeds = {
        a: new ort.Tensor("float32", a, form === "TN" ? [k, m] : [m, k]),
        b: new ort.Tensor("float32", b, form === "NT" ? [n, k] : [k, n]),
      };
      return {
        async run() {
          const { y } = await session.run(feeds);
          const data = (await y.getData()) as Float32Array;
          y.dispose();
          return data;
        },
        dispose: () => void session.release(),
      };
    },
    close() {},
  };
}

// ---- the graph, in the protocol buffers of onnx.proto3 ------------------------------------------------------------------

type Bytes = readonly number[];

const varint = (value: number): Bytes => (value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)]);
const integer = (field: number, value: number): Bytes => [...varint(field << 3), ...varint(value)];
const nested = (field: number, ...parts: Bytes[]): Bytes => {
  const body = parts.flat();
  return [...varint((field << 3) | 2), ...varint(body.length), ...body];
};
const text = (field: number, value: string): Bytes => nested(field, [...new TextEncoder().encode(value)]);

/** ValueInfoProto of a float tensor. */
function tensor(field: number, name: string, shape: readonly number[]): Bytes {
  const dims = shape.map((extent) => nested(1, integer(1, extent)));
  return nested(field, text(1, name), nested(2, nested(1, integer(1, 1), nested(2, ...dims))));
}

function graph({ m, n, k, form }: ProductTask): Uint8Array {
  const attribute = (name: string) => nested(5, text(1, name), integer(3, 1), integer(20, 2));
  const transposed = { NN: [], NT: attribute("transB"), TN: attribute("transA") }[form];
  const node = nested(
    1,
    ...[text(1, "a"), text(1, "b"), text(2, "y"), text(3, "product")],
    ...[text(4, form === "NN" ? "MatMul" : "Gemm"), transposed],
  );
  const body = nested(
    7,
    ...[node, text(2, "product")],
    ...[tensor(11, "a", form === "TN" ? [k, m] : [m, k]), tensor(11, "b", form === "NT" ? [n, k] : [k, n])],
    tensor(12, "y", [m, n]),
  );
  // IR version 8, opset 17.
  return Uint8Array.from([...integer(1, 8), ...body, ...nested(8, integer(2, 17))]);
}
