/**
 * What the screens show of one practice: a snapshot that is replaced, never changed, and re-read from FieldSync when
 * an event says that it is stale.
 *
 * Its life: made when a practice is chosen, started when the first screen mounts, stopped when the practice is left.
 */
import {
  type Conflict,
  FieldSync,
  FieldSyncError,
  type QueueItem,
  type SyncProgress,
  type SyncStatus,
} from 'fieldsync';
import { type AnyRecord, type Clinic, type Entity, type Practice, schema, USER } from './clinic';
import { descriptions, entities } from './entities';
import { tokenProvider } from './token';

export interface Snapshot {
  phase: 'opening' | 'open' | 'failed';
  error: FieldSyncError | null;
  status: SyncStatus | null;
  progress: SyncProgress | null;
  queue: readonly QueueItem[];
  conflicts: readonly Conflict[];
  records: { readonly [E in Entity]: readonly AnyRecord[] };
  offline: boolean;
  /** Another tab runs a newer version: this page must be reloaded before it can save. */
  outdated: boolean;
}

/** Also what the server renders. */
export const EMPTY: Snapshot = Object.freeze({
  phase: 'opening',
  error: null,
  status: null,
  progress: null,
  queue: [],
  conflicts: [],
  records: { client: [], practitioner: [], pet: [], appointment: [], note: [] },
  offline: false,
  outdated: false,
});

/** The switch survives a reload in its own tab, as the lack of a network would. */
const OFFLINE_KEY = 'clinic.offline';

export class PracticeStore {
  readonly practice: Practice;
  #snapshot: Snapshot = EMPTY;
  #client: FieldSync<Clinic> | undefined;
  #closing: Promise<void> = Promise.resolve();
  readonly #listeners = new Set<() => void>();
  /** What is being read, and whether it became stale meanwhile. */
  readonly #reading = new Map<string, { again: boolean }>();

  constructor(practice: Practice) {
    this.practice = practice;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly snapshot = (): Snapshot => this.#snapshot;

  /** The open client; screens call it only when the phase is `open`. */
  get client(): FieldSync<Clinic> {
    if (!this.#client) throw new FieldSyncError('closed', 'The practice is not open.');
    return this.#client;
  }

  /** Opens the practice. The function that comes back closes it. */
  start(): () => void {
    let stopped = false;
    const opened = this.#closing
      .then(() =>
        FieldSync.open<Clinic>({
          tenant: this.practice.tenant,
          user: USER,
          baseUrl: '/api/v1/sync',
          schema,
          token: tokenProvider(),
        }),
      )
      .then(async (client) => {
        if (stopped) {
          await client.close();
          return;
        }
        await this.#opened(client);
      })
      .catch((cause: unknown) => this.#set({ phase: 'failed', error: asError(cause) }));
    return () => {
      stopped = true;
      this.#closing = opened.then(async () => {
        const client = this.#client;
        this.#client = undefined;
        this.#set(EMPTY);
        await client?.close();
      });
    };
  }

  setOffline(offline: boolean): void {
    sessionStorage.setItem(OFFLINE_KEY, offline ? 'yes' : 'no');
    this.client.setOffline(offline);
    this.#set({ offline, status: this.client.engine.status() });
  }

  /** One session by hand; how it went is in the status. */
  async sync(): Promise<void> {
    await this.client.engine.sync();
  }

  async #opened(client: FieldSync<Clinic>): Promise<void> {
    this.#client = client;
    client.on('status', ({ type: _, ...status }) => {
      this.#set({ status, progress: status.state === 'syncing' ? this.#snapshot.progress : null });
      this.#refresh('queue');
    });
    client.on('progress', ({ type: _, ...progress }) => this.#set({ progress }));
    client.on('change', ({ entity }) => this.#refresh(entity as Entity));
    client.on('queue', () => this.#refresh('queue'));
    client.on('conflict', () => this.#refresh('conflicts'));
    client.on('outdated', () => this.#set({ outdated: true }));
    const offline = sessionStorage.getItem(OFFLINE_KEY) === 'yes';
    if (offline) client.setOffline(true);
    await Promise.all([...entities, 'queue' as const, 'conflicts' as const].map((what) => this.#read(what)));
    this.#set({ phase: 'open', error: null, offline, status: client.engine.status() });
  }

  /** Reads again, once more if events came while it was reading, and never twice at a time. */
  #refresh(what: Entity | 'queue' | 'conflicts'): void {
    const reading = this.#reading.get(what);
    if (reading) {
      reading.again = true;
      return;
    }
    const mark = { again: false };
    this.#reading.set(what, mark);
    this.#read(what)
      .then(() => this.#snapshot.error && this.#set({ error: null }))
      .catch((cause: unknown) => this.#set({ error: asError(cause) }))
      .finally(() => {
        this.#reading.delete(what);
        if (mark.again) this.#refresh(what);
      });
  }

  async #read(what: Entity | 'queue' | 'conflicts'): Promise<void> {
    const client = this.#client;
    if (!client) return;
    if (what === 'queue') {
      const queue = await client.queue.list();
      if (client === this.#client) this.#set({ queue });
    } else if (what === 'conflicts') {
      const conflicts = await client.conflicts.list();
      if (client === this.#client) this.#set({ conflicts });
    } else {
      const records = sorted(what, (await client.query(what)) as AnyRecord[]);
      if (client === this.#client) this.#set({ records: { ...this.#snapshot.records, [what]: records } });
    }
  }

  #set(change: Partial<Snapshot>): void {
    this.#snapshot = { ...this.#snapshot, ...change };
    for (const listener of this.#listeners) listener();
  }
}

/** By name or time; equal ones by the key that never changes, so that no row jumps when its ID does. */
function sorted(entity: Entity, records: AnyRecord[]): AnyRecord[] {
  const { order } = descriptions[entity];
  const rows = records.map((record) => ({ record, by: order(record), key: String(record._sync.key) }));
  rows.sort((a, b) => a.by.localeCompare(b.by) || (a.key < b.key ? -1 : 1));
  return rows.map(({ record }) => record);
}

function asError(cause: unknown): FieldSyncError {
  if (cause instanceof FieldSyncError) return cause;
  return new FieldSyncError('internal', cause instanceof Error ? cause.message : String(cause), { cause });
}
