/**
 * Records as the app declares and sees them.
 *
 * An app describes its records once, `interface Clinic { client: {...}; pet: {...} }`, and opens
 * `FieldSync.open<Clinic>(...)`: entity names, fields and query conditions are then checked by the compiler.
 */

/** The key of a record: a temp ID or client-issued ID until the server answers, then the real ID. */
export type Key = string | number;

/** The app's records by entity name. An interface may be used: no index signature is asked for. */
export type RecordsOf<R> = { [E in keyof R]: object };

/** The records of a client that was opened without a description. */
export type AnyRecords = Record<string, Record<string, unknown>>;

/** The entity names of a description. */
export type EntityOf<R> = keyof R & string;

/** Where a record stands. Absent from `_sync` when nothing is unsent. */
export type RecordState = 'pending' | 'syncing' | 'conflict' | 'parked';

/** What FieldSync says about a record beside its fields. */
export interface SyncMark {
  /** The server's version, as text. `null`: the server has not seen it. */
  version: string | null;
  /** The ID under which this page first showed the record: a stable key for UI lists. */
  key: Key;
  state?: RecordState;
  /** Time of the last local change, in ms. */
  stamp?: number;
  /** The record is deleted here and the delete is not sent yet. */
  deleted?: true;
}

/** A record as it is handed out. */
export type Stored<T> = T & { id: Key; _sync: SyncMark };

/** What may be given where a field of type `V` is stored: a `Date` becomes its ISO string. */
export type Input<V> = string extends V
  ? V | Date
  : V extends readonly (infer Item)[]
    ? Input<Item>[]
    : V extends object
      ? { [F in keyof V]: Input<V[F]> }
      : V;

type Fields<T> = { [F in keyof T as F extends 'id' | '_sync' ? never : F]: Input<T[F]> };

/** A new record. `id` only where the client issues the IDs, or to use a temp ID that was generated before. */
export type NewRecord<T> = Fields<T> & { id?: Key | undefined; _sync?: SyncMark | undefined };

/** Changed fields; `undefined` takes the field away. What is not named stays. */
export type Changes<T> = { [F in keyof Fields<T>]?: Fields<T>[F] | undefined } & {
  id?: Key | undefined;
  _sync?: SyncMark | undefined;
};

/** One write of a transaction. */
export type Write<R> = {
  [E in EntityOf<R>]:
    | { kind: 'create'; entity: E; data: NewRecord<R[E]> }
    | { kind: 'update'; entity: E; id: Key; changes: Changes<R[E]> }
    | { kind: 'delete'; entity: E; id: Key };
}[EntityOf<R>];

/** A condition on one field. */
export type Condition<V> =
  | Input<V>
  | null
  | {
      eq?: Input<V> | null;
      in?: readonly (Input<V> | null)[];
      lt?: Input<V>;
      lte?: Input<V>;
      gt?: Input<V>;
      gte?: Input<V>;
      prefix?: string;
    };

/** A path into nested or list values, as the schema writes it: `address.city`, `attendees[].practitionerId`. */
export type NestedPath = `${string}.${string}` | `${string}[]`;

/** The fields that a query may name. */
export type QueryField<T> = (keyof T & string) | 'id' | NestedPath;

/** Which records, in which order, how many. */
export interface Query<T> {
  where?: { [F in keyof T & string]?: Condition<NonNullable<T[F]>> } & { id?: Condition<Key> } & {
    [path: NestedPath]: Condition<unknown>;
  };
  orderBy?: QueryField<T> | readonly (readonly [QueryField<T>, 'asc' | 'desc'])[];
  limit?: number;
  offset?: number;
}
