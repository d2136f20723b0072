/**
 * A device of a test: storage, network and timers of its own, and an instance of the module that sees nothing else. Clients
 * are opened on it by `open`, or by the app's own `FieldSync.open` after `use`.
 *
 * There is one context on it, as if the app had one tab: no Web Locks, no channel to others.
 */
import { closeAll, FieldSync } from '../client.js';
import type { SyncConfig } from '../config.js';
import type { Instance } from '../instance.js';
import { enter, type Realm, unborn } from '../load.js';
import type { AnyRecords, RecordsOf } from '../records.js';
import { makeGlue } from '../wasm/realm.js';
import type { TestClock } from './clock.js';
import { TestNetwork } from './network.js';
import type { TestServer } from './server.js';
import type { TestStorage } from './storage.js';

/** What `TestDevice.open` takes: what is left out is the world's. */
export type TestConfig<R = AnyRecords> = Partial<SyncConfig<R>>;

export class TestDevice {
  readonly network: TestNetwork;
  readonly #clock: TestClock;
  readonly #realm: Realm;
  readonly #defaults: SyncConfig<never>;

  constructor(
    compiled: WebAssembly.Module,
    storage: TestStorage,
    server: TestServer,
    clock: TestClock,
    defaults: SyncConfig<never>,
  ) {
    const window = new EventTarget();
    this.network = new TestNetwork(server, () => void window.dispatchEvent(new Event('online')));
    this.#clock = clock;
    this.#defaults = defaults;
    clock.watch(() => storage.isBusy || this.network.isBusy);
    this.#realm = realmOf(compiled, clock, {
      ...storage.globals,
      navigator: {},
      Date: { now: () => clock.now() },
      setTimeout: (call: () => void, ms: number) => clock.setTimer(call, ms),
      clearTimeout: (id: number) => clock.clearTimer(id),
      fetch: (request: Request) => this.network.fetch(request),
      Request: RequestHere,
      addEventListener: window.addEventListener.bind(window),
    });
  }

  /** Opens a client on this device. Without `autoSync` it syncs when the test says so. */
  open<R extends RecordsOf<R> = AnyRecords>(config: TestConfig<R> = {}): Promise<FieldSync<R>> {
    const before = enter(this.#realm);
    try {
      // It looks where it is before it waits for anything.
      return FieldSync.open<R>({ ...this.#defaults, ...config } as SyncConfig<R>);
    } finally {
      enter(before);
    }
  }

  /** From now on `FieldSync.open`, wherever the app calls it, opens on this device. */
  use(): void {
    enter(this.#realm);
  }

  /** Closes every client, as if the app's tab were closed. What is stored stays, for the next `open`. */
  async close(): Promise<void> {
    await closeAll(this.#realm);
    await this.#clock.settle();
  }
}

/** Node knows no page that a path could be of. */
class RequestHere extends Request {
  constructor(url: string | URL, init?: RequestInit) {
    super(new URL(url, 'http://localhost'), init);
  }
}

function realmOf(compiled: WebAssembly.Module, clock: TestClock, globals: Record<string, unknown>): Realm {
  let present: Instance | undefined;
  const born = (): Instance => {
    const { instance, glue } = unborn((guard) => makeGlue(guard, { ...globals }));
    glue.initSync({ module: compiled });
    return instance;
  };
  return {
    init: async () => undefined,
    loaded: () => {
      if (!present || present.death) present = born();
      return present;
    },
    hasStorage: () => true,
    look: async () => ({ mark: undefined, loss: null }),
    after: (call, ms) => {
      const timer = clock.setTimer(call, ms);
      return () => clock.clearTimer(timer);
    },
    place: {},
  };
}
