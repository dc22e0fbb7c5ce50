// What the bundler (scripts/bundle.mjs) makes of imports that are no modules.

declare module "*.wgsl" {
  const source: string;
  export default source;
}

/** ./x.script: ./x.ts with all it imports, as the text of a classic script. */
declare module "*.script" {
  const source: string;
  export default source;
}

/** wasm/, compiled. */
declare module "*.wasm" {
  const binary: Uint8Array<ArrayBuffer>;
  export default binary;
}

/** comlink declares this file's types under another name. */
declare module "comlink/dist/esm/node-adapter.mjs" {
  export { default } from "comlink/dist/esm/node-adapter";
}
