/**
 * The wasm module of this realm: loaded once, on first need, never at import.
 *
 * Importing the package on a server costs nothing and touches nothing. A failed load is forgotten, so that the next
 * call tries again.
 */
import type { WasmModule, WasmSource } from './boundary.js';
import { FieldSyncError, toFieldSyncError } from './errors.js';
import initGlue, * as glue from './wasm/fieldsync.js';

export interface InitOptions {
  /** The module itself or where it is. Default: the file beside this one, which bundlers find and copy. */
  wasm?: WasmSource | Promise<WasmSource> | undefined;
}

let loading: Promise<void> | undefined;
let module: WasmModule | undefined;

/** Loads the wasm module. Optional: `FieldSync.open` does it. */
export function init(options: InitOptions = {}): Promise<void> {
  loading ??= load(options).catch((cause: unknown) => {
    loading = undefined;
    throw cause;
  });
  return loading;
}

/** Loads the wasm module from bytes or a compiled module, at once. */
export function initSync(wasm: BufferSource | WebAssembly.Module): void {
  if (module) return;
  try {
    glue.initSync({ module: wasm });
  } catch (cause) {
    throw notLoaded(cause);
  }
  provide(glue);
}

/** The module, for functions that cannot wait. */
export function loaded(): WasmModule {
  if (module) return module;
  throw new FieldSyncError('not_initialized', 'Call and await init() or FieldSync.open() first.');
}

/** Puts a module in place: the one that was loaded, or a scripted one in the tests of the facades. */
export function provide(provided: WasmModule): void {
  module = provided;
  loading = Promise.resolve();
}

async function load({ wasm }: InitOptions): Promise<void> {
  // A server has no place to fetch the file from, and what fetch says there helps nobody.
  if (wasm === undefined && typeof self === 'undefined') {
    throw new FieldSyncError('no_browser', 'FieldSync runs in a browser; elsewhere pass the module: init({ wasm }).');
  }
  try {
    // The literal form is what bundlers look for.
    await initGlue({ module_or_path: wasm ?? new URL('./wasm/fieldsync_bg.wasm', import.meta.url) });
  } catch (cause) {
    throw notLoaded(cause);
  }
  provide(glue);
}

function notLoaded(cause: unknown): FieldSyncError {
  const { message } = toFieldSyncError(cause);
  return new FieldSyncError('not_initialized', `The wasm module could not be loaded: ${message}`, {
    retryable: true,
    cause,
  });
}
