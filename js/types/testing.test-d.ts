/** What `fieldsync/testing` promises to a compiler. */
import { createTestWorld } from '../src/testing/index.js';

interface Records {
  client: { id: number; name: string };
}

export async function check(): Promise<void> {
  const world = await createTestWorld<Records>({ schema: { name: 'clinic', version: 1, entities: { client: {} } } });
  const device = world.device();
  const db = await device.open<Records>({ user: 'anna' });
  await db.create('client', { name: 'Ada' });
  // @ts-expect-error: there is no such entity
  await db.create('pet', {});
  // @ts-expect-error: nor such an endpoint
  device.network.answer('uplaod', 'lost');
  device.network.answer('upload', { status: 503, headers: { 'Retry-After': '1' } });
  device.network.answer('download', async ({ body }, pass) => (body.entities ? pass() : { status: 500 }));
  await world.clock.advance(1_000);
  const id: number | string = world.server.put('client', { name: 'Ada' });
  world.server.remove('client', id);
  world.server.refuse(({ action }) => (action.kind === 'delete' ? { code: 'no', message: 'no' } : undefined));
}
