/**
 * With `?plant=relaxed` in its address, a realm takes strict transactions for relaxed ones: the cases must notice. Loaded
 * before all else, because others keep what they find here.
 */
if (new URL(globalThis.location.href).searchParams.get('plant') === 'relaxed') {
  const plain = IDBDatabase.prototype.transaction;
  IDBDatabase.prototype.transaction = function (stores, mode) {
    return plain.call(this, stores, mode, { durability: 'relaxed' });
  };
}
