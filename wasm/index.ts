// Every pass of the cpu backend, as src/backend/wasm/plans names them: (args, begin, end, scratch) computes the items begin .. end - 1.
// AssemblyScript, not TypeScript.

export * from "./activation";
export * from "./attention";
export * from "./attention-grad";
export * from "./dropout";
export * from "./elementwise";
export * from "./embedding";
export * from "./few-rows";
export * from "./half";
export * from "./loss";
export * from "./norm";
export * from "./optimizer";
export * from "./reduce";
export * from "./rotary";
export * from "./products";
