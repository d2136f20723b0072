/**
 * Stands where wasm-pack will put the glue (`pkg/dist/wasm/fieldsync.js`), so that the client compiles without it
 * and against the hand-written boundary.
 */
import type { WasmModule, WasmSource } from '../boundary.js';

export const Engine: WasmModule['Engine'];
export const compute: WasmModule['compute'];
export function initSync(options: { module: BufferSource | WebAssembly.Module }): unknown;
export default function init(options: { module_or_path: WasmSource | Promise<WasmSource> }): Promise<unknown>;
