/**
 * The settings of a client and the schema of its records. Defaults and ranges are the engine's: it refuses an unknown
 * or bad setting with `bad_setting` and its path.
 */
import type { FunctionSort } from './boundary.js';
import type { Conflict, ConflictStrategy, StrategyName } from './conflict-shapes.js';
import { Diagnostics, type LogSettings } from './diagnostics.js';
import { badSetting } from './errors.js';
import { optionsText } from './input.js';
import type { AnyRecords, EntityOf, Key } from './records.js';
import { type FieldFunctions, readTransforms, type TransformSchema } from './transforms.js';

/** For whom a token is asked. */
export interface Identity {
  tenant: string;
  user: string;
  /** The token that was given last was refused: bring another. */
  refresh: boolean;
}

/** Gives a bearer token for that tenant and user, or `null` for "not now". Tokens are never stored. */
export type TokenProvider = (identity: Identity) => string | null | Promise<string | null>;

/**
 * Who wins when both sides changed a field or a record. `manual`: a person decides; `function`: the entity's function among
 * the settings' `rules`, and where that does not, a person.
 */
export type SideRule = 'manual' | 'function' | 'server-wins' | 'client-wins' | 'last-write-wins';

/**
 * Decides a conflict, which is as `conflicts.get` shows it: a strategy or its name. `manual` without `mergedData` leaves it to
 * a person, and so does a function that throws, is late (`ruleTimeoutMs`), or answers anything else.
 */
export type RuleFunction<T = unknown> = (
  conflict: Conflict<T>,
) => ConflictStrategy | StrategyName | Promise<ConflictStrategy | StrategyName>;

/**
 * What stands when both sides changed a field: one side's value, or both changes together. `counter`: a whole number, what
 * each side added or took away counts. `set`: a list in which each item is once; what one side put in is in, what one took out
 * is out. `list`: a list of objects that the named field of theirs tells apart, merged item by item. `text`: merged line by
 * line. Where both cannot be had, the later one stands.
 */
export type FieldRule = SideRule | 'counter' | 'set' | 'text' | { readonly list: string };

/**
 * By what it is told that the server's side of a record moved since the state that a change was written on: another version,
 * other content, or a later value of a top-level field (numbers as numbers, RFC 3339 texts as times, else any other value).
 */
export type ChangeSign = 'version' | 'hash' | { readonly timestamp: string };

/** What one field of a record may hold. `null` is as good as nothing there. */
export interface FieldShape {
  /** `integer`: a whole number. */
  type?: 'number' | 'integer' | 'string' | 'boolean' | 'array' | 'object';
  /** Default false. */
  required?: boolean;
  /** Of a number; both ends are meant. */
  min?: number;
  max?: number;
  /** Of a string, as JavaScript counts it, or of an array, in items. */
  minLength?: number;
  maxLength?: number;
  /** All values that it may have. */
  enum?: readonly unknown[];
}

/**
 * Says what is wrong with a record, at once or later: its fields, each with a text for people; `null` or an empty list where
 * nothing is. It gets the record as it would be, with its `id`.
 */
export type ValidatorFunction<T = Record<string, unknown>> = (
  record: T & { id: Key },
) => Objections | Promise<Objections>;
type Objections = readonly { path: string; message: string }[] | null | undefined;

export interface EntitySchema<R = AnyRecords> {
  /** `integer` and `text` are issued by the server, `uuid` by the client. Default `integer`. */
  key?: 'integer' | 'text' | 'uuid';
  /** Path of each reference and the entity it points to; nested and list paths are written `lines[].productId`. */
  references?: { readonly [path: string]: EntityOf<R> };
  /**
   * What becomes of a record when the one that it refers to is deleted, by the path of the reference: it stands in the way
   * of the delete (`restrict`, the default), it goes too (`cascade`), or it stays and refers to nothing (`set-null`).
   */
  onDelete?: { readonly [path: string]: 'restrict' | 'cascade' | 'set-null' };
  indexes?: readonly string[];
  /** What fields may hold, by path (`dose`, `owner.phone`); of references only `required` can be said. */
  fields?: { readonly [path: string]: FieldShape };
  /**
   * Constraints: of each the paths whose values, taken together, no two records share, as in `[['email'], ['clinicId',
   * 'number']]`. A record without one of the values, or with `null` there, falls under none. At most 10, of at most 5 paths
   * that name one value each.
   */
  unique?: readonly (readonly string[])[];
  /** What happens when both sides changed a record. */
  conflicts?: {
    fields?: { readonly [field: string]: FieldRule };
    default?: SideRule;
    /** Where one side deleted the record: what the local side did, and what the other. Without one, `default`. */
    kinds?: { readonly 'update-delete'?: SideRule; readonly 'delete-update'?: SideRule };
    /** Fields that belong together, such as an address; of each group all come from one side. */
    groups?: readonly (readonly string[])[];
    /**
     * One to three signs that the server's side moved: it did if all of them say so, and one that cannot tell says so.
     * Where it did not move, the local change is done as it is, and nobody is told. Default `['version', 'hash']`.
     */
    detect?: readonly ChangeSign[];
    /** Top-level fields that settle themselves, such as `updatedAt`: the later stamp has them, and they are no conflict. */
    metadata?: readonly string[];
  };
  /** The lane in which its operations wait. Without one: the last, which has no name. */
  lane?: string;
  /** The form in which its records go over the wire, where that is another. All else here is said of the form of the app. */
  transform?: TransformSchema;
}

/** A queue within the queue. */
export interface Lane {
  name: string;
  /** An operation that waits for a person stops all that were written after it in this lane. Default false. */
  strict?: boolean;
}

export interface Schema<R = AnyRecords> {
  name: string;
  /**
   * Counts up with every release that changes the declaration, also when going back to an older one: once the highest has
   * downloaded on a device, lower ones only save and send, and their downloads end with `outdated`.
   */
  version: number;
  /** By priority: of operations that do not depend on each other, those of the first lane go first. */
  lanes?: readonly Lane[];
  entities: { readonly [E in EntityOf<R>]: EntitySchema<R> };
}

/** The limit of each alert, or `false` for none of that kind. */
export interface AlertLimits {
  /** Failed sessions in a row, from 1. Default 3. */
  sessionsFailed?: number | false | undefined;
  /** Operations that met a conflict among the last hundred: more than this share of them, 0 to 1. Default 0.1. */
  conflictRate?: number | false | undefined;
  /** Faults that a check found, or rows that stop a session: more than so many. Default 0. */
  integrity?: number | false | undefined;
  /** Used of what the browser allows, 0 to 1. Default 0.8. */
  storageHigh?: number | false | undefined;
  /** The same, at last. Default 0.95. */
  storageCritical?: number | false | undefined;
  /** How long an operation may be parked, in ms since it was written. Default 24 hours. */
  parkedMs?: number | false | undefined;
  /** How long an operation may be unsent, in ms. Default 24 hours. */
  pendingMs?: number | false | undefined;
  /** Breaches of the last `audit.complianceReport`: more than so many. Default 0. */
  compliance?: number | false | undefined;
  /** Whether the server refused the audit trail (1) or not (0): more than that. Default 0. */
  auditRefused?: number | false | undefined;
}

/** In days, 1 to 36500, or `false` for ever. What is older goes in idle time. */
export interface Retention {
  /** A row of the log of sessions; of 500 at most in any case. Default 90. */
  syncLogDays?: number | false | undefined;
  /** A decided conflict, with both its sides, from its last step on: later nothing of it can be restored. Default 365. */
  conflictsDays?: number | false | undefined;
  /**
   * A row of the audit trail. What is unfinished keeps every row about it; where the trail goes up, only what the server has
   * goes, and where a sink takes it, only what that took. Default 365.
   */
  auditDays?: number | false | undefined;
}

export interface SyncConfig<R = AnyRecords> {
  tenant: string | number;
  user: string | number;
  /**
   * Where the server's sync endpoints are: `https://example.org/api/v1/sync`, or a path of the page's own origin; `http://`
   * only on this machine (`localhost`, `127.0.0.1`, `[::1]`).
   */
  baseUrl: string;
  schema: Schema<R>;
  /** Without one, requests carry no token. */
  token?: TokenProvider | undefined;
  /** Sync after each write, at the start and on reconnect. Default true. */
  autoSync?: boolean | undefined;
  /**
   * In a page with `autoSync`: whether the browser is asked to wake the app's service worker for what the page could not
   * send (`fieldsync/service-worker`). Default true; without a worker, or without Background Sync, nothing happens.
   */
  backgroundSync?: boolean | undefined;
  /** Whether a write may become part of an earlier unsent one of its record. Default true. */
  coalesce?: boolean | undefined;
  /** The diagnostic log, `client.diagnostics()`: without payloads, kept in memory alone. Default off. */
  log?: LogSettings | undefined;
  /** From which value on an alert is told (event `alert`, `client.alerts()`); `false` turns one off. */
  alerts?: AlertLimits | undefined;
  /** How long what is over is kept. `false`: for ever. What is open, and the mappings of IDs, are kept in any case. */
  retention?: Retention | undefined;
  /** Of the audit trail (docs/audit.md). */
  audit?:
    | {
        /** What a person must give a `reason` for (`reason_required`), which the trail keeps. Default nothing. */
        requireReason?: readonly ('resolve' | 'discard' | 'restore' | 'undo')[] | undefined;
        /**
         * How much of what is written its rows show, by entity, or by `'*'` for all others: `hash`, the SHA-256; `fields`, the paths
         * of the fields too; `payload`, all of it, which then also goes up. Default `hash`.
         */
        content?: { readonly [E in EntityOf<R> | '*']?: 'hash' | 'fields' | 'payload' | undefined } | undefined;
        /** Whether its rows go up into the chain of a server that takes them. Default true. */
        upload?: boolean | undefined;
      }
    | undefined;
  /**
   * By entity: decides its conflicts where the schema says `function`. Called outside of every transaction, during a session
   * and by one tab at a time. Two who open one client share the functions of the first.
   */
  rules?: { readonly [E in EntityOf<R>]?: RuleFunction<R[E]> } | undefined;
  /**
   * By entity: looks at what a write, a decision on a conflict by a person or a function, a restore or an undo would leave,
   * before it is stored, and at what a download brings, before it is shown. Called outside of every transaction.
   */
  validators?: { readonly [E in EntityOf<R>]?: ValidatorFunction<R[E]> } | undefined;
  /**
   * By entity and field: turns values into the form of the wire and back, where the schema's `transform` says `function`. A
   * service worker that syncs needs them too.
   */
  transforms?: { readonly [E in EntityOf<R>]?: { readonly [field: string]: FieldFunctions } } | undefined;
  /** How long a function of `rules`, `validators` or `transforms` may take, in ms, 100 to 60000. Default 5000. */
  ruleTimeoutMs?: number | undefined;
  /** Operations in the first batch; it doubles with each that went well. Default 50. */
  batchSize?: number | undefined;
  /** Operations in any batch. Default 1000. */
  batchSizeMax?: number | undefined;
  /** Records per downloaded page. Default 500. */
  pageSize?: number | undefined;
  /** For one request. Default 30000. */
  timeoutMs?: number | undefined;
  /** First wait before a retry. Default 1000. */
  backoffBaseMs?: number | undefined;
  /** Longest wait between retries. Default 60000. */
  backoffCapMs?: number | undefined;
  /** How long a sender in another tab may be silent before its role is taken. Default 5000. */
  silenceMs?: number | undefined;
  /**
   * After how long all that is stored is looked over again (`integrity.checkIntegrity`) in idle time, after sessions, in ms, from
   * an hour to a year. What is found is the alert `integrity`. Default a day; 0 for never.
   */
  integrityCheckMs?: number | undefined;
  /**
   * How often to look for changes without being asked: at the server, and, in a tab that does not sync by itself, only
   * in the stored data for what no other tab told. Default 30000.
   */
  pollMs?: number | undefined;
}

/** What is left of a configuration when the functions, which stay in JavaScript, are taken out. */
export interface Settings {
  /** For the engine. */
  text: string;
  token: TokenProvider | undefined;
  functions: AppFunctions;
  log: LogSettings | undefined;
  /** Their names, as far as they can be read. */
  entities: string[];
  /** Whether the service worker may be asked for. */
  backgroundSync: boolean;
  /** Tenant and user as text. */
  who: [tenant: string, user: string];
  /** Same tenant and same user, however they are written. */
  identity: string;
  /** What must be equal for two who open one client: everything else that the engine is told. */
  comparable: string;
}

/** The app's functions by sort and entity. */
export type AppFunctions = { readonly [S in FunctionSort]: { readonly [entity: string]: (about: never) => unknown } };

export function readConfig(config: SyncConfig<never>): Settings {
  if (typeof config !== 'object' || config === null) throw badSetting('', 'the configuration is an object');
  const { token, backgroundSync = true, rules, validators, transforms, log, ...others } = config;
  const { turns, fields } = readTransforms(transforms);
  const functions: AppFunctions = {
    rule: functionsOf('rules', rules),
    validator: functionsOf('validators', validators),
    transform: turns,
  };
  // The engine needs to know only for which entities there are any.
  const plain = {
    ...others,
    ...(rules && { rules: Object.keys(functions.rule) }),
    ...(validators && { validators: Object.keys(functions.validator) }),
    ...(transforms && { transforms: fields }),
  };
  if (token !== undefined && typeof token !== 'function') throw badSetting('token', 'the token provider is a function');
  const fault = Diagnostics.fault(log);
  if (fault !== undefined) throw badSetting(fault, `${fault} is no setting, or none of its values`);
  if (typeof backgroundSync !== 'boolean') throw badSetting('backgroundSync', 'backgroundSync is true or false');
  for (const setting of ['tenant', 'user'] as const) {
    const value: unknown = plain[setting];
    if (!(typeof value === 'string' && value !== '') && !(typeof value === 'number' && Number.isSafeInteger(value))) {
      throw badSetting(setting, `${setting} is a non-empty string or an integer`);
    }
  }
  const text = optionsText(plain, 'bad_setting');
  const { tenant, user, ...rest } = plain;
  const who: [string, string] = [String(tenant), String(user)];
  const identity = JSON.stringify(who);
  const comparable = JSON.stringify({ ...rest, backgroundSync, log });
  const entities = Object.keys(plain.schema?.entities ?? {});
  return {
    text,
    token,
    functions,
    log,
    entities,
    backgroundSync: backgroundSync && rest.autoSync !== false,
    who,
    identity,
    comparable,
  };
}

function functionsOf(setting: string, functions: unknown = {}): Record<string, (about: never) => unknown> {
  if (typeof functions !== 'object' || functions === null)
    throw badSetting(setting, `${setting} is an object of functions`);
  const given = Object.entries(functions).filter(([, value]) => value !== undefined);
  const [other] = given.find(([, value]) => typeof value !== 'function') ?? [];
  if (other !== undefined)
    throw badSetting(`${setting}.${other}`, `what stands under ${setting}.${other} is a function`);
  return Object.fromEntries(given);
}
