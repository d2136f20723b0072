/** A browser's side, in types: what is described is what can be written. */
import { FieldSync, type Schema, type Stored } from 'fieldsync';

interface Notes {
  note: { text: string; pinned?: boolean };
}
const schema: Schema<Notes> = { name: 'notes', version: 1, entities: { note: { indexes: ['text'] } } };

export async function pinned(): Promise<Stored<Notes['note']>[]> {
  const db = await FieldSync.open<Notes>({ tenant: 'home', user: 'anna', baseUrl: '/api/v1/sync', schema });
  const { record, synced } = await db.create('note', { text: 'Buy hay', pinned: true });
  record.text satisfies string;
  (await synced).status satisfies string;
  // @ts-expect-error: a note has no title
  await db.create('note', { title: 'Hay' });
  // @ts-expect-error: nothing else is described
  await db.query('letter');
  return db.query('note', { where: { pinned: true } });
}
