/** A test of an app that uses FieldSync: in a browser, on its IndexedDB, nothing replaced. */
import { FieldSync } from 'fieldsync';
import { expect, test } from 'vitest';

const config = {
  tenant: 'home',
  user: 'anna',
  baseUrl: '/api/v1/sync',
  schema: { name: 'notes', version: 1, entities: { note: {} } },
  autoSync: false,
};

test('a note is there when the client is opened again', async () => {
  const before = await FieldSync.open(config);
  const { record } = await before.create('note', { text: 'Buy hay' });
  await before.close();

  const after = await FieldSync.open(config);
  expect(after).not.toBe(before);
  expect(await after.get('note', record.id)).toMatchObject({ text: 'Buy hay' });
  await after.close();
  expect(await indexedDB.databases()).toHaveLength(1);
});
