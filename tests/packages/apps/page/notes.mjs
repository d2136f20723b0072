/** A list of notes that is still there after a reload. */
import { FieldSync } from 'fieldsync';

const db = await FieldSync.open({
  tenant: 'home',
  user: 'anna',
  baseUrl: '/api/v1/sync',
  schema: { name: 'notes', version: 1, entities: { note: {} } },
  autoSync: false,
});

const button = document.querySelector('button');
button.addEventListener('click', async () => {
  await db.create('note', { text: 'Buy hay' });
  await show();
});
await show();
button.disabled = false;

async function show() {
  const items = (await db.query('note')).map(({ text }) => {
    const item = document.createElement('li');
    item.textContent = text;
    return item;
  });
  document.querySelector('ul').replaceChildren(...items);
}
