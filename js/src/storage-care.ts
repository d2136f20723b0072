/**
 * What a browser does to storage behind an app's back, as far as a page can notice it.
 *
 * A browser throws IndexedDB away when its files are damaged, or under pressure for space. The database is then simply not
 * there, as on a new device. So a mark lies beside it, in `localStorage`: that it was there, when, and with how much unsent. A
 * mark without its database is a loss, and is told once. Workers have no `localStorage`, and who clears all data of a site
 * clears the mark too.
 */
import type { Events } from './events.js';
import type { SyncStatus } from './shapes.js';

/** A database that was here and is no more. */
export interface StorageLoss {
  /** How many operations were unsent when it was last seen. They are gone, unless another device has them. */
  unsent: number;
  /** When it was last seen, ms since 1970. */
  lastSeen: number;
}

export class StorageMark {
  readonly #name: string;
  #unsent: number | undefined;
  #isGone = false;

  private constructor(name: string) {
    this.#name = name;
  }

  /** Looks before the database is opened, which would make it. Gives the loss, if there is one. */
  static async look(
    tenant: string,
    user: string,
  ): Promise<{ mark: StorageMark | undefined; loss: StorageLoss | null }> {
    const name = marks() && (await databaseName(tenant, user));
    if (name === undefined) return { mark: undefined, loss: null };
    const kept = read(name);
    const there = (await indexedDB.databases?.().catch(() => undefined))?.map((database) => database.name);
    // Not known, where the browser does not list its databases.
    const isGone = kept !== undefined && there !== undefined && !there.includes(name);
    return { mark: new StorageMark(name), loss: isGone ? kept : null };
  }

  /** Writes down what is there now. */
  see({ pending, conflicts, parked }: Pick<SyncStatus, 'pending' | 'conflicts' | 'parked'>): void {
    const unsent = pending + conflicts + parked;
    if (unsent === this.#unsent || this.#isGone) return;
    this.#unsent = unsent;
    try {
      marks()?.setItem(this.#name, JSON.stringify({ unsent, lastSeen: Date.now() }));
    } catch {
      // No room, or forbidden: then a loss is not noticed.
    }
  }

  /** The database goes by intent. */
  remove(): void {
    this.#isGone = true;
    marks()?.removeItem(this.#name);
  }
}

/**
 * Asks the browser not to throw this site's storage away. `true` and `false` are its answer; `null`: it has no such thing, or
 * did not answer within the limit (ms), as Firefox does not while the person leaves its question open. Ask when there is
 * something to keep, best after the first save.
 */
export async function persistStorage({ limitMs = 5_000 }: { limitMs?: number } = {}): Promise<boolean | null> {
  const storage = typeof navigator === 'undefined' ? undefined : navigator.storage;
  if (typeof storage?.persist !== 'function') return null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), limitMs);
  });
  try {
    return await Promise.race([storage.persist(), late]);
  } catch {
    return null;
  } finally {
    clearTimeout(timer);
  }
}

/** Tells how many bytes of the storage are used and allowed, now and whenever a session has ended, where the browser says so. */
export function watchStorage(events: Pick<Events, 'on'>, tell: (used: string, allowed: string) => void): void {
  const look = async () => {
    const { usage, quota } = (await estimate()) ?? {};
    if (usage !== undefined && quota !== undefined) tell(String(Math.round(usage)), String(Math.round(quota)));
  };
  events.on('session', () => void look());
  void look();
}

async function estimate(): Promise<StorageEstimate | undefined> {
  try {
    return await globalThis.navigator?.storage?.estimate?.();
  } catch {
    return undefined;
  }
}

/** Where there are none, or the person forbade them, even looking can throw. */
function marks(): Storage | undefined {
  try {
    return globalThis.localStorage;
  } catch {
    return undefined;
  }
}

function read(name: string): StorageLoss | undefined {
  try {
    const { unsent, lastSeen } = JSON.parse(marks()?.getItem(name) ?? '') as Partial<StorageLoss>;
    return Number.isSafeInteger(unsent) && Number.isSafeInteger(lastSeen)
      ? { unsent: unsent ?? 0, lastSeen: lastSeen ?? 0 }
      : undefined;
  } catch {
    return undefined;
  }
}

/** As the engine names it (`src/engine/config.rs`): a hash of both, each with its length before it. */
async function databaseName(tenant: string, user: string): Promise<string | undefined> {
  // Only where pages are served securely, which service workers ask for too.
  if (!globalThis.crypto?.subtle) return undefined;
  const parts = [tenant, user].map((part) => new TextEncoder().encode(part));
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + 8 + part.length, 0));
  let at = 0;
  for (const part of parts) {
    new DataView(bytes.buffer).setBigUint64(at, BigInt(part.length));
    bytes.set(part, at + 8);
    at += 8 + part.length;
  }
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  const base64 = btoa(String.fromCharCode(...digest));
  return `fieldsync/1/${base64.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')}`;
}
