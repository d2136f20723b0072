/**
 * The client: one tenant and user in this context.
 *
 * Its life: `open` loads the wasm module and opens the database; while open, every record call is local and every
 * save is durable when its promise resolves; `close` releases the database. Opening the same tenant and user again
 * gives the same client, which closes when the last who opened it has closed it. The table of clients hangs on
 * `globalThis`, so that two copies of this package in one page still share one engine for one database.
 */
import { Audit } from './audit.js';
import { askForSync } from './background-sync.js';
import type { EngineEvent } from './boundary.js';
import { Bridge } from './bridge.js';
import { readConfig, type Settings, type SyncConfig } from './config.js';
import { Conflicts } from './conflicts.js';
import { Diagnostics, type LogEntry } from './diagnostics.js';
import { FieldSyncError, toFieldSyncError } from './errors.js';
import { Events, reportUncaught } from './events.js';
import {
  changesText,
  idText,
  name,
  optionsOf,
  optionsText,
  reasonText,
  recordText,
  toText,
  writesText,
} from './input.js';
import { Integrity } from './integrity.js';
import { entered, type Realm } from './load.js';
import type { Alert, SyncMetrics } from './log-shapes.js';
import { Queue } from './queue.js';
import type { AnyRecords, Changes, EntityOf, Key, NewRecord, Query, RecordsOf, Stored, Write } from './records.js';
import { RelationshipManager } from './relationships.js';
import type {
  Deleted,
  EventName,
  Saved,
  SavedAll,
  SyncEvent,
  SyncEvents,
  SyncedOutcome,
  SyncStatus,
} from './shapes.js';
import { type StorageLoss, type StorageMark, watchStorage } from './storage-care.js';
import { SyncEngine } from './sync-engine.js';
import { SyncLog } from './sync-log.js';
import { TempIdResolver } from './temp-ids.js';

interface Open {
  client: Promise<unknown>;
  /** The settings it was opened with, tenant and user aside. */
  comparable: string;
  users: number;
}

interface Table {
  open: Map<string, Open>;
  /** Closing takes a moment; whoever opens again waits for it. */
  closing: Map<string, Promise<void>>;
}

function tableOf({ place }: Realm): Table {
  const holder = place as { [TABLE]?: Table };
  holder[TABLE] ??= { open: new Map(), closing: new Map() };
  return holder[TABLE];
}

const TABLE = Symbol.for('fieldsync/clients/1');

export class FieldSync<R extends RecordsOf<R> = AnyRecords> {
  readonly engine: SyncEngine;
  readonly tempIds: TempIdResolver<R>;
  readonly relationships: RelationshipManager<R>;
  /** The conflicts that this device met or was told of: found, decided, brought back. */
  readonly conflicts: Conflicts<R>;
  /** The unfinished operations, each with its state and the reason why it waits. */
  readonly queue: Queue;
  /** What happened to every operation on this device. */
  readonly audit: Audit;
  /** Whether the stored rows are what was written, their repair, and what of the download was not taken. */
  readonly integrity: Integrity;
  /** The sessions of the past: what each did, and what they come to. */
  readonly syncLog: SyncLog;
  /** That the browser had thrown this database away before it was opened now; `null` if it had not, or nobody can say. */
  readonly storageLoss: StorageLoss | null;

  readonly #bridge: Bridge;
  readonly #events: Events;
  readonly #identity: string;
  readonly #stopAsking: () => void;
  readonly #wishes: Wishes;
  readonly #table: Table;
  readonly #mark: StorageMark | undefined;
  readonly #log: Diagnostics;
  #closed = false;

  private constructor(
    bridge: Bridge,
    events: Events,
    { identity, backgroundSync }: Settings,
    wishes: Wishes,
    realm: Realm,
    { mark, loss }: Awaited<ReturnType<typeof StorageMark.look>>,
    log: Diagnostics,
  ) {
    this.#log = log;
    this.storageLoss = loss;
    this.#mark = mark;
    this.#table = tableOf(realm);
    this.#bridge = bridge;
    this.#events = events;
    this.#identity = identity;
    this.#wishes = wishes;
    this.#stopAsking = backgroundSync ? askForSync(events) : () => undefined;
    watchStorage(events, (used, allowed) => {
      if (bridge.alive) bridge.now('storage', used, allowed);
    });
    this.engine = new SyncEngine(bridge, events);
    this.tempIds = new TempIdResolver(bridge);
    this.relationships = new RelationshipManager(bridge);
    this.conflicts = new Conflicts(bridge);
    this.queue = new Queue(bridge);
    this.audit = new Audit(bridge, events, realm.after);
    this.integrity = new Integrity(bridge);
    this.syncLog = new SyncLog(bridge);
  }

  /** Opens the database of a tenant and user. `storage_blocked` if it does not open within 15 seconds. */
  static async open<R extends RecordsOf<R> = AnyRecords>(config: SyncConfig<R>): Promise<FieldSync<R>> {
    const settings = readConfig(config as SyncConfig<never>);
    const realm = entered();
    if (!realm.hasStorage()) {
      throw new FieldSyncError('storage_unavailable', 'There is no IndexedDB here: open FieldSync in a browser.');
    }
    const { open, closing } = tableOf(realm);
    while (closing.has(settings.identity)) await closing.get(settings.identity);
    const present = open.get(settings.identity);
    if (present) {
      if (present.comparable !== settings.comparable) throw otherSettings(present.comparable, settings.comparable);
      present.users += 1;
      return present.client as Promise<FieldSync<R>>;
    }
    const client = FieldSync.#start<R>(settings, realm);
    const entry: Open = { client, comparable: settings.comparable, users: 1 };
    open.set(settings.identity, entry);
    try {
      return await client;
    } catch (cause) {
      // Forgotten, so that the next call tries again.
      if (open.get(settings.identity) === entry) open.delete(settings.identity);
      throw toFieldSyncError(cause);
    }
  }

  static async #start<R extends RecordsOf<R>>(settings: Settings, realm: Realm): Promise<FieldSync<R>> {
    const { text, token, functions } = settings;
    const log = new Diagnostics(settings.log);
    await realm.init({});
    const care = await realm.look(...settings.who);
    const events = new Events();
    const wishes: Wishes = { offline: false };
    let last: SyncStatus | undefined;
    const bridge: Bridge = await Bridge.open({
      instance: () => realm.loaded(),
      start: async ({ module }) => {
        events.hold();
        const engine = await module.Engine.open(text, {
          token: async (tenant, user, refresh) => (await token?.({ tenant, user, refresh })) ?? null,
          ask: (sort, entity, about) => asked(functions[sort][entity], about),
          event: (json) => {
            const event: EngineEvent = JSON.parse(json);
            if (event.type === 'status') {
              last = event.status;
              care.mark?.see(event.status);
            }
            const told = shown(event);
            log.heard(told);
            events.deliver(told);
          },
        });
        if (wishes.offline) engine.now('setOffline', 'true');
        return engine;
      },
      ...(log.isOn && {
        called: (method: string, ms: number, error?: FieldSyncError) => log.called(method, ms, error?.code),
      }),
      started: (again) => {
        log.note('started', ['info', 'client', { again }]);
        events.release();
        if (!again) return;
        // Whatever happened meanwhile, here or in other tabs, nobody told: whoever shows something looks again.
        for (const entity of settings.entities) events.deliver({ type: 'change', entity, source: 'elsewhere' });
        events.deliver({ type: 'queue' });
        events.deliver({ type: 'status', ...bridge.now<SyncStatus>('status') });
      },
      failed: ({ code, message, retryable }) => {
        log.note('failed', ['error', 'client', { code, retryable }]);
        events.release();
        if (code === 'outdated') events.deliver({ type: 'outdated' });
        // Whoever only listens would wait for ever for the end of what the dead one had begun.
        if (last) events.deliver({ type: 'status', ...last, state: 'error', lastError: { code, message, retryable } });
      },
    });
    care.mark?.see(bridge.now<SyncStatus>('status'));
    return new FieldSync<R>(bridge, events, settings, wishes, realm, care, log);
  }

  /** Stores a new record and queues it. Without an `id` it gets one. */
  async create<E extends EntityOf<R>>(entity: E, data: NewRecord<R[E]>): Promise<Saved<R[E]>> {
    return this.#saved(await this.#bridge.call('create', name(entity, 'entity'), recordText(data)));
  }

  /** Changes the named fields of a record and queues the change. */
  async update<E extends EntityOf<R>>(entity: E, id: Key, changes: Changes<R[E]>): Promise<Saved<R[E]>> {
    return this.#saved(await this.#bridge.call('update', name(entity, 'entity'), idText(id), changesText(changes)));
  }

  /**
   * Deletes a record and queues the delete, with what is declared to go with it (`onDelete` of the schema). Refused with
   * `has_dependents` while another record refers to it, with `too_large` where more than a transaction holds would go.
   */
  async delete<E extends EntityOf<R>>(entity: E, id: Key): Promise<Deleted> {
    return this.#saved(await this.#bridge.call('delete', name(entity, 'entity'), idText(id)));
  }

  /**
   * Several writes, of which all take effect or none: here at once, later at the server in one step. They may refer to
   * each other by temp IDs, in any order.
   */
  async transaction<const W extends readonly Write<R>[]>(writes: W): Promise<SavedAll<R, W>> {
    const written: WireSaved[] = await this.#bridge.call('transaction', writesText(writes));
    return written.map((one) => this.#saved(one)) as SavedAll<R, W>;
  }

  /** The record that has, or ever had, this ID. */
  async get<E extends EntityOf<R>>(entity: E, id: Key): Promise<Stored<R[E]> | undefined> {
    const found: Stored<R[E]> | null = await this.#bridge.call('get', name(entity, 'entity'), idText(id));
    return found ?? undefined;
  }

  /** The records that match, all of them without a query. A condition that is `undefined` is refused: it would match all. */
  async query<E extends EntityOf<R>>(entity: E, query: Query<R[E]> = {}): Promise<Stored<R[E]>[]> {
    return this.#bridge.call('query', name(entity, 'entity'), optionsText(query, 'invalid_query', 'where'));
  }

  /** How many records match. */
  async count<E extends EntityOf<R>>(entity: E, query: Query<R[E]> = {}): Promise<number> {
    return this.#bridge.call('count', name(entity, 'entity'), optionsText(query, 'invalid_query', 'where'));
  }

  /** Listens to an event. The function that comes back ends it. */
  on<E extends EventName>(event: E, listener: (event: SyncEvents[E]) => void): () => void {
    return this.#events.on(event, listener);
  }

  /** What somebody should look at now. The event `alert` tells when each begins, and when it is over. */
  async alerts(): Promise<Alert[]> {
    return this.#bridge.call('alerts');
  }

  /** What was measured since this client was opened: what waits, the sessions, the last batches, and a sample a minute. */
  metrics(): SyncMetrics {
    return this.#bridge.now('metrics');
  }

  /** What the diagnostic log has kept since this client was opened, the oldest first. Empty unless the setting `log` asks. */
  diagnostics(): LogEntry[] {
    return this.#log.entries();
  }

  /** `true`: behave as if there were no network, until `false`. Saves go on as always. */
  setOffline(offline: boolean): void {
    this.#wishes.offline = offline === true;
    if (this.#bridge.alive) this.#bridge.now('setOffline', offline === true ? 'true' : 'false');
  }

  /** Closes the database, unless another who opened this client still uses it. Unsent work stays. */
  async close(): Promise<void> {
    const entry = this.#table.open.get(this.#identity);
    // A closed client must not close the one that was opened after it.
    if (this.#closed || !entry) return;
    entry.users -= 1;
    if (entry.users === 0) await this.#end();
  }

  /**
   * Empties this database on this device and closes the client for all who opened it. While something is unsent it is
   * refused with `unsent_work`, unless `force` says that it goes too: which operations those were is kept, and the
   * `reason`, of at most 1,000 characters.
   */
  async wipe(options?: WipeOptions): Promise<{ discarded: number }> {
    const { force = false, reason } = optionsOf(options, { force: 'boolean', reason: 'other' });
    const wiped: { discarded: number } = await this.#bridge.call('wipe', force ? 'force' : '', reasonText(reason));
    this.#mark?.remove();
    await this.#end();
    return wiped;
  }

  async #end(): Promise<void> {
    const { open, closing } = this.#table;
    this.#closed = true;
    this.#stopAsking();
    open.delete(this.#identity);
    const done = this.#bridge.close().finally(() => {
      this.#events.clear();
      closing.delete(this.#identity);
    });
    // Whoever opens again waits for the end, whatever it is.
    closing.set(
      this.#identity,
      done.catch(() => undefined),
    );
    await done;
  }

  #saved<S>({ record, operationId }: WireSaved): S {
    return { record: record ?? null, operationId, synced: outcomeOf(this.#bridge, operationId) } as S;
  }
}

export interface WipeOptions {
  /** Unsent work goes too. */
  force?: boolean | undefined;
  /** Why, for the audit trail. */
  reason?: string | undefined;
}

/** Closes every client of a realm, however many have opened it. */
export async function closeAll(realm: Realm): Promise<void> {
  for (const entry of [...tableOf(realm).open.values()]) {
    entry.users = 1;
    await ((await entry.client) as FieldSync).close();
  }
}

/** What was asked of the engine and is not stored: the next one is asked for it again. */
interface Wishes {
  offline: boolean;
}

/** What a function of the app says. What it throws is reported as what a listener throws is. */
async function asked(ask: ((about: never) => unknown) | undefined, about: string): Promise<string> {
  try {
    return toText((await ask?.(JSON.parse(about) as never)) ?? null);
  } catch (cause) {
    reportUncaught(cause);
    throw cause;
  }
}

/** What the engine says of a write. */
interface WireSaved {
  record?: unknown;
  operationId: string | null;
}

/** What becomes of an operation. It is asked for at once: the engine remembers old ends for a while only. */
async function outcomeOf<T>(bridge: Bridge, operationId: string | null): Promise<SyncedOutcome<T>> {
  if (operationId === null) return { status: 'unchanged' };
  try {
    return await bridge.call('synced', operationId);
  } catch (cause) {
    // No answer is not a rejection: the operation is stored and goes on.
    return { status: 'pending', error: toFieldSyncError(cause) };
  }
}

function shown(event: EngineEvent): SyncEvent {
  return event.type === 'status' ? { type: 'status', ...event.status } : event;
}

function otherSettings(present: string, asked: string): FieldSyncError {
  const [a, b] = [JSON.parse(present), JSON.parse(asked)] as [Record<string, unknown>, Record<string, unknown>];
  const setting = Object.keys({ ...a, ...b }).find((key) => JSON.stringify(a[key]) !== JSON.stringify(b[key]));
  return new FieldSyncError('bad_setting', 'This tenant and user are open in this page with other settings.', {
    details: { path: setting ?? '' },
  });
}
