/**
 * The page's side of a replay: the package as any page would use it, and a raw look into IndexedDB past it.
 *
 * `globalThis.replay` is what the driver calls. Times are taken here, where no remote control is in between.
 */
import * as fieldsync from 'fieldsync';

let client;
let entities;

async function open({ schema, token, ...settings }) {
  entities = Object.keys(schema.entities);
  client = await fieldsync.FieldSync.open({ ...settings, schema, autoSync: false, token: () => token });
}

/** A temp ID for each of these, in order. */
function issue(list) {
  return list.map((entity) => client.tempIds.generateTempId(entity));
}

/** Creates the records one after another, each saved before the next; gives the seconds. */
async function enqueue(drafts) {
  const start = performance.now();
  for (const { entity, data } of drafts) {
    const { record } = await client.create(entity, data);
    if (record.id !== data.id) throw new Error(`${entity}: ${data.id} was saved as ${record.id}`);
  }
  return (performance.now() - start) / 1000;
}

async function session(method) {
  const start = performance.now();
  const result = await client.engine[method]();
  return { result, seconds: (performance.now() - start) / 1000 };
}

/** Every record, as the app would read it. */
async function records() {
  const all = {};
  for (const entity of entities) all[entity] = await client.query(entity);
  return all;
}

async function resolve(tempIds) {
  return Promise.all(tempIds.map((tempId) => client.tempIds.resolveTempId(tempId)));
}

/** What the first IDs of the records lead to now. */
async function look(list) {
  return Promise.all(list.map(({ entity, id }) => client.get(entity, id)));
}

/** Every row of every database of this origin, by database and store. */
async function raw() {
  const all = {};
  for (const { name } of await indexedDB.databases()) {
    const database = await finished(indexedDB.open(name));
    const stores = {};
    for (const store of database.objectStoreNames) {
      const objects = database.transaction(store).objectStore(store);
      stores[store] = await finished(objects.getAll());
    }
    database.close();
    all[name] = stores;
  }
  return all;
}

function finished(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error('blocked'));
  });
}

globalThis.replay = {
  fieldsync,
  open,
  issue,
  enqueue,
  session,
  records,
  resolve,
  look,
  raw,
  queue: () => client.queue.list(),
  conflicts: () => client.conflicts.list(),
  status: () => client.engine.status(),
  report: () => client.engine.report(),
  close: () => client.close(),
};
document.documentElement.dataset.ready = 'yes';
