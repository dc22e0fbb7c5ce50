// Every pass of the cpu backend, as src/backend/wasm/plans names them: (args, begin, end, scratch) computes the items begin .. end - 1.
// AssemblyScript, not TypeScript.

