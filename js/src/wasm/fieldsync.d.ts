/**
 * Stands where wasm-pack will put the glue (`pkg/dist/wasm/fieldsync.js`), so that the client compiles without it
 * and against the hand-written boundary.
 */
import type { WasmModule, WasmSource } from '../boundary.js';

export const Engine: WasmModule['Engine'];
export const deep_equal: WasmModule['deep_equal'];
export const diff: WasmModule['diff'];
export const merge: WasmModule['merge'];
export const hash_data: WasmModule['hash_data'];
export function initSync(options: { module: BufferSource | WebAssembly.Module }): unknown;
export default function init(options: { module_or_path: WasmSource | Promise<WasmSource> }): Promise<unknown>;
