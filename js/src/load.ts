/**
 * The wasm module of this realm: loaded once, on first need, never at import.
 *
 * Importing the package on a server costs nothing and touches nothing. A failed load is forgotten, so that the next
 * call tries again. Where an instance has died, the next call gets another one of the same compiled module.
 */
import type { Glue, Guard, WasmModule, WasmSource } from './boundary.js';
import { FieldSyncError, toFieldSyncError } from './errors.js';
import { Instance } from './instance.js';
import { StorageMark } from './storage-care.js';
import { makeGlue } from './wasm/fieldsync.js';

export interface InitOptions {
  /** The module itself or where it is. Default: the file beside this one, which bundlers find and copy. */
  wasm?: WasmSource | Promise<WasmSource> | undefined;
}

/** As `setTimeout`; what comes back clears it. */
export type Timers = (call: () => void, ms: number) => () => void;

/** What a client finds around it: the page or worker in which it is; for an app's own tests, a device of theirs. */
export interface Realm {
  init(options: InitOptions): Promise<void>;
  /** The living instance, for functions that cannot wait. */
  loaded(): Instance;
  /** Whether there is an IndexedDB. */
  hasStorage(): boolean;
  /** Whether the browser has thrown away what a tenant and user had. */
  look(tenant: string, user: string): ReturnType<typeof StorageMark.look>;
  /** For what waits outside of the engine. */
  readonly after: Timers;
  /** On this the table of its open clients hangs. */
  readonly place: object;
}

let loading: Promise<void> | undefined;
let present: Instance | undefined;
const page: Realm = {
  init: (options) => {
    loading ??= load(options).catch((cause: unknown) => {
      loading = undefined;
      throw cause;
    });
    return loading;
  },
  loaded: () => {
    if (!present) throw new FieldSyncError('not_initialized', 'Call and await init() or FieldSync.open() first.');
    if (present.death) present = present.renew();
    return present;
  },
  hasStorage: () => typeof indexedDB !== 'undefined',
  look: (tenant, user) => StorageMark.look(tenant, user),
  after: (call, ms) => {
    const timer = setTimeout(call, ms);
    return () => clearTimeout(timer);
  },
  place: globalThis,
};
let realm = page;

/** The one in which clients are opened now. */
export function entered(): Realm {
  return realm;
}

/** From now on clients are opened in another. Gives the one before. */
export function enter(next: Realm): Realm {
  const before = realm;
  realm = next;
  return before;
}

/**
 * Where the module lies. In this literal form, because bundlers look for it; and in one place only, because they copy the
 * file for each place that they find.
 */
export function moduleUrl(): URL {
  return new URL('./wasm/fieldsync_bg.wasm', import.meta.url);
}

/** From now on clients are opened in the page. */
export function enterPage(): void {
  realm = page;
}

/** Loads the wasm module. Optional: `FieldSync.open` does it. */
export function init(options: InitOptions = {}): Promise<void> {
  return realm.init(options);
}

/** Loads the wasm module from bytes or a compiled module, at once. */
export function initSync(wasm: BufferSource | WebAssembly.Module): void {
  if (present) return;
  const { instance, glue } = unborn();
  try {
    glue.initSync({ module: wasm });
  } catch (cause) {
    throw notLoaded(cause);
  }
  put(instance);
}

/** The living instance, for functions that cannot wait. */
export function loaded(): Instance {
  return realm.loaded();
}

/** Puts a scripted module in place, for the tests of the facades: the same one again after a death. */
export function provide(module: WasmModule): void {
  const scripted = (): Instance => Object.assign(new Instance(scripted), { module });
  put(scripted());
}

async function load({ wasm }: InitOptions): Promise<void> {
  // A server has no place to fetch the file from, and what fetch says there helps nobody.
  if (wasm === undefined && typeof self === 'undefined') {
    throw new FieldSyncError('no_browser', 'FieldSync runs in a browser; elsewhere pass the module: init({ wasm }).');
  }
  const { instance, glue } = unborn();
  try {
    await glue.init({ module_or_path: wasm ?? moduleUrl() });
  } catch (cause) {
    throw notLoaded(cause);
  }
  put(instance);
}

function put(instance: Instance): void {
  present = instance;
  loading = Promise.resolve();
}

/** An instance with a glue of its own, not instantiated yet. */
export function unborn(make: (guard: Guard) => Glue = makeGlue): { instance: Instance; glue: Glue } {
  let compiled: WebAssembly.Module;
  const instance = new Instance(() => {
    const next = unborn(make);
    next.glue.initSync({ module: compiled });
    return next.instance;
  });
  const glue = make((exports, module) => {
    compiled = module;
    return instance.guard(exports);
  });
  instance.module = glue;
  return { instance, glue };
}

/** How V8 tells of bytes that begin with `<!`, `<h` or `<H`. Other engines do not say what they have found. */
const PAGE_INSTEAD = /expected magic word .*found 3c (21|68|48)/;

function notLoaded(cause: unknown): FieldSyncError {
  const { message } = toFieldSyncError(cause);
  const why = PAGE_INSTEAD.test(message)
    ? 'the server answered with a page instead of the module; see docs/packages.md'
    : message;
  return new FieldSyncError('not_initialized', `The wasm module could not be loaded: ${why}`, {
    retryable: true,
    cause,
  });
}
