/** The worker's side. Import maps are for pages: a worker names the file. */
import { FieldSync } from '/node_modules/fieldsync/dist/index.js';

const opened = FieldSync.open({
  tenant: 'home',
  user: 'anna',
  baseUrl: '/api/v1/sync',
  schema: { name: 'notes', version: 1, entities: { note: {} } },
  autoSync: false,
});

self.addEventListener('message', async ({ data: text }) => {
  const db = await opened;
  await db.create('note', { text });
  await tell();
});
await tell();

async function tell() {
  const db = await opened;
  self.postMessage((await db.query('note')).map(({ text }) => text));
}
