/**
 * The diagnostic log: what a client was asked and what it told, for whoever looks for a fault. Off unless the settings ask
 * for it, kept in memory alone, the last thousand entries.
 *
 * An entry is made of named facts that are picked one by one, so that no record, no token, no reason and no message of a
 * server gets in: codes, counts, times, names of entities, and IDs where an event tells them.
 */
import type { SyncEvent } from './shapes.js';

export type LogLevel = 'error' | 'warn' | 'info' | 'debug';
/** `client`: opened, died, closed; `call`: what the app asked; `session`: sessions and their steps; `data`: what changed. */
export type LogNamespace = 'client' | 'call' | 'session' | 'data';

export interface LogSettings {
  /** Entries of this level and the graver ones. Default `off`. */
  level?: LogLevel | 'off' | undefined;
  /** Only these. All if not said. */
  namespaces?: readonly LogNamespace[] | undefined;
}

/** One thing that happened. */
export interface LogEntry {
  /** In ms by the device. */
  at: number;
  level: LogLevel;
  namespace: LogNamespace;
  /** The event, or the call. */
  what: string;
  facts: Record<string, unknown>;
}

const LEVELS: readonly string[] = ['error', 'warn', 'info', 'debug'] satisfies LogLevel[];
const NAMESPACES: readonly string[] = ['client', 'call', 'session', 'data'] satisfies LogNamespace[];
const ENTRIES_MAX = 1_000;

type Told = [level: LogLevel, namespace: LogNamespace, facts: Record<string, unknown>];

export class Diagnostics {
  readonly #entries: LogEntry[] = [];
  readonly #level: number;
  readonly #namespaces: readonly string[];

  constructor({ level = 'off', namespaces = NAMESPACES as LogNamespace[] }: LogSettings = {}) {
    this.#level = LEVELS.indexOf(level);
    this.#namespaces = namespaces;
  }

  /** The path of a setting that makes no sense, if one does not. */
  static fault(settings: unknown): string | undefined {
    if (settings === undefined) return undefined;
    if (typeof settings !== 'object' || settings === null || Array.isArray(settings)) return 'log';
    const { level = 'off', namespaces = [], ...others } = settings as Record<string, unknown>;
    const [unknown] = Object.keys(others);
    if (unknown !== undefined) return `log.${unknown}`;
    if (level !== 'off' && !LEVELS.includes(level as string)) return 'log.level';
    const known = Array.isArray(namespaces) && namespaces.every((name) => NAMESPACES.includes(name));
    return known ? undefined : 'log.namespaces';
  }

  /** Whether anything is kept. */
  get isOn(): boolean {
    return this.#level >= 0;
  }

  note(what: string, [level, namespace, facts]: Told): void {
    if (LEVELS.indexOf(level) > this.#level || !this.#namespaces.includes(namespace)) return;
    this.#entries.push({ at: Date.now(), level, namespace, what, facts });
    if (this.#entries.length > ENTRIES_MAX) this.#entries.shift();
  }

  /** An event that is told to the app. */
  heard(event: SyncEvent): void {
    if (this.isOn) this.note(event.type, factsOf(event));
  }

  /** A call that has ended: how long it took, and the code of what it was refused with. */
  called(method: string, ms: number, code?: string): void {
    this.note(method, [code === undefined ? 'debug' : 'warn', 'call', { ms, ...(code !== undefined && { code }) }]);
  }

  /** What is kept, the oldest first. */
  entries(): LogEntry[] {
    return structuredClone(this.#entries);
  }
}

function factsOf(event: SyncEvent): Told {
  switch (event.type) {
    case 'session': {
      const { success, synced, failed, conflicts, downloaded, quarantined, duration, direction, errors } = event.result;
      const counts = { success, synced, failed, conflicts, downloaded, quarantined, duration, direction };
      return [success ? 'info' : 'warn', 'session', { ...counts, errors: errors.map(({ code }) => code) }];
    }
    case 'status': {
      const { state, pending, conflicts, parked, connectivity, offline, paused, reason, lastError } = event;
      const facts = { state, pending, conflicts, parked, connectivity, offline, paused, reason };
      return ['debug', 'session', { ...facts, lastError: lastError?.code ?? null }];
    }
    case 'progress': {
      const { phase, done, total, bytes } = event;
      return ['debug', 'session', { phase, done, total, bytes }];
    }
    case 'change': {
      const { entity, ids, source } = event;
      return ['debug', 'data', { entity, ids, source }];
    }
    case 'conflict':
      return ['info', 'data', { id: event.id }];
    case 'warning': {
      const { code, entity, conflictId, recordId } = event;
      return ['warn', 'data', { code, entity, conflictId, recordId }];
    }
    case 'audit': {
      const { code, reason, number } = event;
      return ['warn', 'session', { code, reason, number }];
    }
    case 'alert': {
      const { code, value, limit, over = false } = event;
      return [over ? 'info' : 'warn', 'session', { code, value, limit, over }];
    }
    case 'queue':
      return ['debug', 'data', {}];
    case 'outdated':
      return ['error', 'client', {}];
  }
}
