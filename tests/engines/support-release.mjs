/**
 * How a release leaves a browser and a server in the middle of an offline day, and how a test finds them again.
 */
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openStage, TENANT } from '../e2e/support-stage.mjs';
import { startEngine } from './drivers.mjs';

/** One folder for each version. */
export const RELEASES = fileURLToPath(new URL('releases', import.meta.url));

export const SCHEMA = {
  name: 'clinic',
  version: 1,
  entities: {
    client: { indexes: ['name'] },
    pet: { references: { clientId: 'client' }, conflicts: { fields: { dose: 'manual' } } },
    visit: { references: { petId: 'pet' } },
  },
};

/** Lives a day with the package as it is, and keeps what it leaves as what this version left. */
export async function keep(version) {
  const stage = await openStage({ schema: SCHEMA });
  try {
    const engine = await startEngine(stage, 'chromium');
    const [desk, phone] = [await engine.device(stage.site.address), await engine.device(stage.site.address)];
    const visit = async (device, user) => {
      const page = await device.visit();
      await open(page, await stage.settings(user));
      return page;
    };
    const morning = await visit(desk, 'anna');
    await morning.run(async () => {
      const { client } = globalThis.app;
      const owner = await client.create('client', { name: 'Ada', since: '2019-05-01' });
      const pet = await client.create('pet', { name: 'Rex', dose: 1, clientId: owner.record.id });
      await client.create('visit', { petId: pet.record.id, reason: 'Vaccination' });
      await client.create('visit', { petId: pet.record.id, reason: 'by mistake' });
      await client.engine.sync();
    });
    const elsewhere = await visit(phone, 'bert');
    await elsewhere.run(async () => {
      const { client } = globalThis.app;
      await client.engine.sync();
      const [pet] = await client.query('pet');
      await client.update('pet', pet.id, { dose: 2 });
      await client.engine.sync();
    });
    await morning.run(async () => {
      const { client } = globalThis.app;
      const [pet] = await client.query('pet');
      // One that two wrote waits for a person, and so does one that the server does not take.
      await client.update('pet', pet.id, { dose: 3 });
      await client.create('pet', { name: 'Nobody', clientId: 4711 });
      await client.engine.sync();

      client.setOffline(true);
      const [mistake] = await client.query('visit', { where: { reason: 'by mistake' } });
      await client.delete('visit', mistake.id);
      await client.update('client', pet.clientId, { phone: '1' });
      const [owner, luna] = ['client', 'pet'].map((entity) => client.tempIds.generateTempId(entity));
      await client.transaction([
        { kind: 'create', entity: 'pet', data: { id: luna, name: 'Luna', dose: 0.5, clientId: owner } },
        { kind: 'create', entity: 'client', data: { id: owner, name: 'Ben' } },
      ]);
      await client.create('visit', { petId: luna, reason: 'lame' });
    });
    const evening = await visit(desk, 'anna');
    const lastTold = await evening.run(told);
    await evening.run(() => globalThis.app.client.close());
    const left = await evening.run(dump);
    const { receipts } = await stage.server.content(TENANT);
    const folder = join(RELEASES, version);
    await mkdir(folder, { recursive: true });
    const text = JSON.stringify({ ...left, told: lastTold, sent: receipts.map(({ operation }) => operation) }, null, 1);
    await writeFile(join(folder, 'browser.json'), `${text}\n`);
    await copyFile(stage.server.database, join(folder, 'server.sqlite'));
  } finally {
    await stage.close();
  }
}

/** Opens a client in a page. */
export function open(page, settings) {
  return page.run((config) => globalThis.app.open(config).then(() => undefined), settings);
}

/** Runs in a page: all that the client tells of what it holds. */
export async function told() {
  const { client } = globalThis.app;
  const all = async (entity) => [entity, await client.query(entity)];
  const records = Object.fromEntries(await Promise.all(['client', 'pet', 'visit'].map(all)));
  return { records, queue: await client.queue.list(), conflicts: await client.conflicts.list() };
}

/** Runs in a page: the package's database as the browser has it, and the marks beside it. No client is open. */
export async function dump() {
  const { requested } = globalThis.app;
  const [{ name, version }] = (await indexedDB.databases()).filter((found) => found.name.startsWith('fieldsync/'));
  const database = await requested(indexedDB.open(name));
  const readStore = async (storeName) => {
    const store = database.transaction(storeName).objectStore(storeName);
    const indexes = [...store.indexNames].map((indexName) => {
      const { keyPath, multiEntry, unique } = store.index(indexName);
      return { name: indexName, keyPath, multiEntry, unique };
    });
    return { name: storeName, keyPath: store.keyPath, indexes, rows: await requested(store.getAll()) };
  };
  const stores = await Promise.all([...database.objectStoreNames].map(readStore));
  database.close();
  return { name, version, stores, marks: { ...localStorage } };
}

/** Runs in a page: makes the database that `dump` saw, and the marks. */
export async function restore({ name, version, stores, marks }) {
  const { requested } = globalThis.app;
  const request = indexedDB.open(name, version);
  request.onupgradeneeded = () => {
    for (const { name: storeName, keyPath, indexes, rows } of stores) {
      const store = request.result.createObjectStore(storeName, { keyPath });
      for (const { name: indexName, keyPath: path, ...how } of indexes) store.createIndex(indexName, path, how);
      for (const row of rows) store.put(row);
    }
  };
  (await requested(request)).close();
  for (const [key, value] of Object.entries(marks)) localStorage.setItem(key, value);
}
