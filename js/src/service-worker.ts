/**
 * The service worker's part: sends what is unsent when the browser says that there is a network, also when no page of
 * the app is open.
 *
 * Background Sync is a hint. Only Chromium has it, and it gives up after some tries; so pages sync by themselves, and
 * nothing depends on this. Listeners are added when the script first runs, as the browser demands; the wasm module is
 * loaded when there is something to do, and nothing is remembered from one event to the next: a worker may be stopped
 * at any time, and what it was sending is sent again by whoever comes next, as the same operation.
 */
import { SYNC_TAG } from './background-sync.js';
import { FieldSync } from './client.js';
import type { SyncConfig } from './config.js';
import { FieldSyncError } from './errors.js';
import { type InitOptions, init } from './load.js';
import type { OperationState, SyncError } from './shapes.js';

/** Whose work to send: one or several, or a function that finds out who is signed in when the event comes. */
export type WorkerConfig<R = never> = Configs<R> | (() => Configs<R> | Promise<Configs<R>>);
type Configs<R> = SyncConfig<R> | readonly SyncConfig<R>[];

/** The global scope of a service worker, as far as it is needed here. */
export interface WorkerScope {
  addEventListener(type: string, listener: (event: Event) => void): void;
}

/** What the event carries beside what every event has. */
interface SyncEvent extends Event {
  readonly tag: string;
  waitUntil(done: Promise<unknown>): void;
}

/** Makes this service worker send what pages left unsent. Call it at the top of the worker's script. */
export function installFieldSync<R>(worker: WorkerScope, config: WorkerConfig<R>, options: InitOptions = {}): void {
  worker.addEventListener('sync', (event) => {
    const { tag } = event as SyncEvent;
    // Waited for until the end: when this rejects, the browser fires the event again later.
    if (tag === SYNC_TAG) (event as SyncEvent).waitUntil(drainAll(config as WorkerConfig, options));
  });
}

async function drainAll(config: WorkerConfig, options: InitOptions): Promise<void> {
  const configs = typeof config === 'function' ? await config() : config;
  const failures: unknown[] = [];
  for (const one of [configs].flat()) {
    try {
      await init(options);
      await drain(one);
    } catch (cause) {
      // One user's failure keeps nobody else's work back.
      failures.push(cause);
    }
  }
  if (failures.length > 0) throw failures[0];
}

/** Sends what is unsent of one user. Fails if something is left that a later try could send. */
async function drain(config: SyncConfig<never>): Promise<void> {
  // No session by itself: this one is waited for, and it takes the sender's role, which pages share, for itself.
  const client = await FieldSync.open({ ...config, autoSync: false });
  try {
    // The page was faster, as it mostly is.
    if (client.engine.status().pending === 0) return;
    const { errors } = await client.engine.syncToServer();
    const [error] = errors;
    if (error && !maySucceedLater(error)) return;
    const left = (await client.queue.list()).filter(({ state }) => CAN_GO.includes(state));
    if (left.length === 0) return;
    throw new FieldSyncError(error?.code ?? 'unfinished', error?.message ?? `${left.length} operations wait.`, {
      retryable: true,
    });
  } finally {
    await client.close();
  }
}

/** What waits for the network or the server; the other states wait for a person, or for what does. */
const CAN_GO: readonly OperationState[] = ['pending', 'syncing', 'failed'];

/** Without a token the app may have one later: its provider says "not now" by giving none. */
function maySucceedLater({ retryable, code }: SyncError): boolean {
  return retryable || code === 'auth_required';
}
