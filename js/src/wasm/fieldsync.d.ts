/**
 * Stands where the build will put the glue (`pkg/dist/wasm/fieldsync.js`), so that the client compiles without it and
 * against the hand-written boundary.
 */
import type { WasmModule, WasmSource } from '../boundary.js';

export interface Glue extends WasmModule {
  init(options: { module_or_path: WasmSource | Promise<WasmSource> }): Promise<unknown>;
  initSync(options: { module: BufferSource | WebAssembly.Module }): unknown;
}

/** Gets what was instantiated, and gives what the glue then calls. */
export type Guard = (exports: WebAssembly.Exports, module: WebAssembly.Module) => WebAssembly.Exports;

/** A glue for one instance. It works with what `guard` makes of the exports. */
export function makeGlue(guard: Guard): Glue;
