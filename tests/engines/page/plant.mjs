/**
 * With `?plant=NAME` in its address, a realm's IndexedDB has that mistake: the cases must notice. Loaded before all else,
 * because others keep what they find here.
 */
const transactions = IDBTransaction.prototype;
const [complete, abort] = ['oncomplete', 'onabort'].map((name) => Object.getOwnPropertyDescriptor(transactions, name));

const plants = {
  /** What is asked for strictly is done relaxedly. */
  relaxed() {
    const plain = IDBDatabase.prototype.transaction;
    IDBDatabase.prototype.transaction = function (stores, mode) {
      return plain.call(this, stores, mode, { durability: 'relaxed' });
    };
  },
  /** An abort is taken for success. */
  abort() {
    Object.defineProperty(transactions, 'onabort', {
      ...abort,
      set(handler) {
        abort.set.call(this, handler && (() => complete.get.call(this)()));
      },
    });
  },
  /** What says how far everything has come is not written together with the rows. */
  checkpoint() {
    const plain = transactions.objectStore;
    transactions.objectStore = function (name) {
      const apart = this.mode === 'readwrite' && name === 'state' && this.objectStoreNames.length > 1;
      return plain.call(apart ? this.db.transaction(name, 'readwrite') : this, name);
    };
  },
  /** The handler is attached when the event is over. */
  late() {
    Object.defineProperty(transactions, 'oncomplete', {
      ...complete,
      set(handler) {
        if (handler === null) complete.set.call(this, handler);
        else this.addEventListener('complete', () => complete.set.call(this, handler));
      },
    });
  },
};

const planted = new URL(globalThis.location.href).searchParams.get('plant');
if (planted !== null) plants[planted]();
