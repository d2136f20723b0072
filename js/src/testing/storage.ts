/**
 * The storage of a device, in memory: an IndexedDB of its own, by `fake-indexeddb`, so that the module that ships writes
 * and reads as it does in a browser. It says when a transaction is open.
 */
import * as fake from 'fake-indexeddb';

export class TestStorage {
  /** What a realm has of IndexedDB. */
  readonly globals: Record<string, unknown>;
  #open = 0;

  constructor() {
    const { IDBCursorWithValue, IDBDatabase, IDBFactory, IDBKeyRange, IDBOpenDBRequest, IDBRequest } = fake;
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
