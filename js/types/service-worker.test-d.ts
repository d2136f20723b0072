/** The service worker's entry takes what a page opens with, and the scope as either library of the DOM types it. */
import type { SyncConfig } from '../src/index.js';
import { installFieldSync, type WorkerScope } from '../src/service-worker.js';
import { type Assignable, expect } from './equal.js';

interface Clinic {
  client: { name: string };
}

/** The scope of a service worker as TypeScript's library `webworker` has it, which cannot stand beside `dom`. */
interface LibraryScope {
  addEventListener(type: 'fetch', listener: (this: LibraryScope, event: Event & { request: Request }) => unknown): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean): void;
}
expect<Assignable<LibraryScope, WorkerScope>>(true);
expect<Assignable<Window & typeof globalThis, WorkerScope>>(true);

export function worker(one: SyncConfig<Clinic>, plain: SyncConfig, bytes: Uint8Array<ArrayBuffer>): void {
  installFieldSync(self, one);
  installFieldSync(self, plain);
  installFieldSync(self, [one, one]);
  installFieldSync(self, () => one);
  installFieldSync(self, async () => [one], { wasm: '/fieldsync.wasm' });
  installFieldSync(self, async () => [], { wasm: bytes });
  // @ts-expect-error: who is signed in is not optional; nobody is an empty list
  installFieldSync(self, () => undefined);
  // @ts-expect-error: a configuration names its schema
  installFieldSync(self, { tenant: 1, user: 1, baseUrl: '/api' });
}
