/** CommonJS, in types: Node requires ES modules, and its resolution knows. */
import { hashData, initSync } from 'fieldsync';

export function hashOf(value: unknown, wasm: Uint8Array<ArrayBuffer>): string {
  initSync(wasm);
  return hashData(value);
}
