import { FieldSync } from 'fieldsync';

/** Keeps the notes that the page sends, and tells it all of them: at the start and after each. */
export async function keepNotes() {
  const db = await FieldSync.open({
    tenant: 'home',
    user: 'anna',
    baseUrl: '/api/v1/sync',
    schema: { name: 'notes', version: 1, entities: { note: {} } },
    autoSync: false,
  });
  const tell = async () => self.postMessage((await db.query('note')).map(({ text }) => text));
  self.addEventListener('message', async ({ data: text }) => {
    await db.create('note', { text });
    await tell();
  });
  await tell();
}
