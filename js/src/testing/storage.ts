/**
 * The storage of a device, in memory: an IndexedDB of its own, by `fake-indexeddb`, so that the module that ships writes
 * and reads as it does in a browser. It says when a transaction is open.
 */
import { FieldSyncError } from '../errors.js';

type Library = typeof import('fake-indexeddb');

export class TestStorage {
  /** What a realm has of IndexedDB. */
  readonly globals: Record<string, unknown>;
  #open = 0;

  private constructor(library: Library) {
    const { IDBCursorWithValue, IDBDatabase, IDBFactory, IDBKeyRange, IDBOpenDBRequest, IDBRequest } = library;
    const indexedDB = new IDBFactory();
    const open = indexedDB.open.bind(indexedDB);
    indexedDB.open = (name, version) => {
      const request = open(name, version);
      this.#until(request, ['success', 'error', 'blocked']);
      request.addEventListener('success', () => this.#watch(request.result));
      return request;
    };
    this.globals = {
      indexedDB,
      IDBCursorWithValue,
      IDBDatabase,
      IDBFactory,
      IDBKeyRange,
      IDBOpenDBRequest,
      IDBRequest,
    };
  }

  /** Loads the library, which an app may have forgotten to install. Gives what makes an empty storage. */
  static async load(): Promise<() => TestStorage> {
    const library = await import('fake-indexeddb').catch((cause: unknown) => {
      const message =
        "fieldsync/testing needs the package 'fake-indexeddb', which could not be loaded: npm install --save-dev fake-indexeddb";
      throw new FieldSyncError('not_initialized', message, { cause });
    });
    return () => new TestStorage(library);
  }

  /** Whether something is being read or written. */
  get isBusy(): boolean {
    return this.#open > 0;
  }

  #watch(database: IDBDatabase): void {
    const transaction = database.transaction.bind(database);
    database.transaction = (...of) => {
      const begun = transaction(...of);
      this.#until(begun, ['complete', 'abort']);
      return begun;
    };
  }

  #until(target: EventTarget, ends: string[]): void {
    let ended = false;
    this.#open += 1;
    for (const end of ends) {
      target.addEventListener(end, () => {
        if (!ended) this.#open -= 1;
        ended = true;
      });
    }
  }
}
