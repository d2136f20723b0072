/** An app's own test, in types. */
import type { Schema } from 'fieldsync';
import { createTestWorld } from 'fieldsync/testing';

interface Notes {
  note: { text: string };
}
const schema: Schema<Notes> = { name: 'notes', version: 1, entities: { note: {} } };

const world = await createTestWorld<Notes>({ schema });
const db = await world.device().open<Notes>({ user: 'anna' });
await db.create('note', { text: 'hay' });
await world.clock.advance(1_000);
// @ts-expect-error: there is no such endpoint
world.device().network.answer('uplaod', 'lost');
