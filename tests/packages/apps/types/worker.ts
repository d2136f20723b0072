/** A service worker's side, in types: who is signed in is known to the app. */
import type { Schema, SyncConfig } from 'fieldsync';
import { installFieldSync } from 'fieldsync/service-worker';

interface Notes {
  note: { text: string };
}
const schema: Schema<Notes> = { name: 'notes', version: 1, entities: { note: {} } };

const anna: SyncConfig<Notes> = { tenant: 'home', user: 'anna', baseUrl: '/api/v1/sync', schema };
installFieldSync(self, async () => [anna], { wasm: '/fieldsync.wasm' });
// @ts-expect-error: a configuration names its schema
installFieldSync(self, { tenant: 'home', user: 'anna', baseUrl: '/api/v1/sync' });
