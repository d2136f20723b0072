/**
 * A look at the page's IndexedDB transactions from below the package: with which durability each write was really
 * made, what it wrote, and whether it was complete.
 */

/**
 * Runs in the page before any other script. Every transaction that may write is recorded in `globalThis.transactions`
 * with the durability that the browser itself says it has. `plantRelaxed` weakens each of them first: the bug that the
 * assertion must notice.
 */
export function recordTransactions({ plantRelaxed }) {
  const { transaction } = IDBDatabase.prototype;
  const begin = plantRelaxed
    ? function (stores, mode, options) {
        return transaction.call(this, stores, mode, options && { ...options, durability: 'relaxed' });
      }
    : transaction;
  const seen = [];
  const records = new WeakMap();
  globalThis.transactions = seen;
  IDBDatabase.prototype.transaction = function (...args) {
    const begun = begin.apply(this, args);
    if (begun.mode === 'readwrite') {
      const record = { durability: begun.durability, stores: [], complete: false };
      begun.addEventListener('complete', () => {
        record.complete = true;
      });
      seen.push(record);
      records.set(begun, record);
    }
    return begun;
  };
  for (const method of ['put', 'add', 'delete', 'clear']) {
    const original = IDBObjectStore.prototype[method];
    IDBObjectStore.prototype[method] = function (...args) {
      const stores = records.get(this.transaction)?.stores;
      if (stores && !stores.includes(this.name)) stores.push(this.name);
      return original.apply(this, args);
    };
  }
}

/** The stores whose rows are somebody's work, or the proof of what became of it. */
const PRECIOUS = ['outbox', 'audit', 'ids', 'conflicts'];

/** What is wrong with the transactions of a step that stored work: each must have been strict and complete. */
export function durabilityFaults(transactions) {
  const precious = transactions.filter(({ stores }) => stores.some((store) => PRECIOUS.includes(store)));
  const faults = precious.flatMap(({ durability, stores, complete }) => [
    ...(durability === 'strict' ? [] : [`a write to ${stores.join(', ')} was ${durability}`]),
    ...(complete ? [] : [`a write to ${stores.join(', ')} was reported before it was complete`]),
  ]);
  return precious.length === 0 ? ['nothing was stored'] : faults;
}
