/**
 * One tenant of the test server: its records by the sequence of their changes, the receipts of operations, what each temp ID
 * became; and the judgement of operations, in the order of docs/protocol.md.
 */
import type { EntitySchema, Schema } from '../config.js';
import type { Key } from '../records.js';
import type { RecordFault } from '../shapes.js';
import { along, place, type Row } from './along.js';
import { canonical, changedBy, type Delta, type Fields, isRelative } from './delta.js';
import { faults } from './faults.js';
import { each } from './references.js';
import { holdings, isSame, taken } from './unique.js';

export type Stamp = [ms: number, n: number];

/** An operation as it comes over the wire. */
export interface Operation {
  id: string;
  seq: number;
  entity: string;
  record: Key;
  action: { kind: 'create'; data: Fields } | { kind: 'update'; delta: Delta } | { kind: 'delete' };
  base: 'none' | { version: string } | { after: string };
  stamp: Stamp;
  stamps?: Record<string, Stamp>;
  author: string;
  group?: { id: string; of: number };
  supersedes?: string;
  first?: string;
  /** Of a delete: up to which version its writer had seen everything. */
  seen?: string;
  schema: number;
}

export interface Refusal {
  code: string;
  message: string;
  path?: string;
  /** Every field that is not as the schema declares it, of `invalid_record`. */
  faults?: RecordFault[];
}

export type Outcome =
  | { status: 'applied'; realId: Key; version: string; stamp: Stamp }
  | {
      status: 'conflict';
      conflictId: string;
      kind: string;
      realId?: Key;
      server: object;
      done?: true;
      constraint?: object;
    }
  | { status: 'rejected'; error: Refusal }
  | { status: 'blocked'; waitsFor: string[] }
  | { status: 'duplicate'; original: Outcome };

interface Kept {
  sequence: number;
  rows: Map<string, Row>;
  receipts: Map<string, Outcome>;
  /** The first operations of lines whose counts were made. */
  counted: Set<string>;
  temps: Map<string, Key>;
  counters: Map<string, number>;
}

/** Ends the judgement of an operation. */
class Stop extends Error {
  constructor(readonly outcome: Outcome) {
    super(outcome.status);
  }
}

const reject = (code: string, message: string, path?: string): Stop =>
  new Stop({ status: 'rejected', error: { code, message, ...(path === undefined ? {} : { path }) } });
const blocked = (...waitsFor: string[]): Stop => new Stop({ status: 'blocked', waitsFor });
const isTemp = (id: unknown): id is string => typeof id === 'string' && /^temp_\d+_[^_]+_./.test(id);

export class Tenant {
  #kept: Kept = {
    sequence: 0,
    rows: new Map(),
    receipts: new Map(),
    counted: new Set(),
    temps: new Map(),
    counters: new Map(),
  };
  /** The sequence before what is being decided. */
  #began = 0;
  /** Where the records are that the transaction which is being decided deletes: they stand in no other's way. */
  #leaving = new Set<string>();

  get sequence(): number {
    return this.#kept.sequence;
  }
  get receipts(): ReadonlyMap<string, Outcome> {
    return this.#kept.receipts;
  }
  /** Every record in its last state, deleted ones too, in the order of their last change. */
  get rows(): Row[] {
    return [...this.#kept.rows.values()].sort((one, other) => one.version - other.version);
  }

  all({ entity }: { entity: string }): { id: Key; data: Fields }[] {
    const own = this.rows.filter((row) => row.entity === entity && row.data !== undefined);
    const order = (one: Key, other: Key): number => (one < other ? -1 : 1);
    return structuredClone(
      own.sort((one, other) => order(one.id, other.id)).map(({ id, data }) => ({ id, data: data ?? {} })),
    );
  }

  /** A change that no operation made. */
  put(of: { entity: string; key: string }, id: Key | undefined, fields: Fields, stamp: Stamp): Key {
    const { entity } = of;
    const real = id ?? this.#name(entity, of.key);
    const before = this.#kept.rows.get(place(entity, real));
    const touched = before?.data ? Object.fromEntries(Object.keys(fields).map((field) => [field, stamp])) : {};
    this.#write({
      ...(before?.data ? before : { entity, id: real, stamp, fieldStamps: {} }),
      data: { ...before?.data, ...structuredClone(fields) },
      fieldStamps: { ...(before?.data ? before.fieldStamps : {}), ...touched },
    });
    return real;
  }

  remove({ entity }: { entity: string }, id: Key, stamp: Stamp): void {
    const before = this.#kept.rows.get(place(entity, id));
    if (before?.data) this.#write({ ...before, data: undefined, stamp, fieldStamps: {} });
  }

  /** Decides an operation, or the members of a transaction, of which all take effect or none. */
  decide(
    schema: Schema<never>,
    client: string,
    unit: Operation[],
    refused: (operation: Operation) => Refusal | undefined,
  ): Map<string, Outcome> {
    const before = structuredClone(this.#kept);
    const outcomes = new Map<string, Outcome>();
    this.#began = before.sequence;
    this.#leaving.clear();
    const inOrder = [...unit].sort((one, other) => one.seq - other.seq);
    const entities = schema.entities as Schema['entities'];
    // Named first, so that they may refer to each other in any order, and in a circle.
    for (const { action, base, record, entity } of inOrder) {
      const isNew = action.kind === 'create' && base === 'none' && isTemp(record) && entities[entity];
      if (isNew && !this.#kept.temps.has(record))
        this.#kept.temps.set(record, this.#name(entity, isNew.key ?? 'integer'));
    }
    for (const { action, record, entity } of inOrder) {
      const id = isTemp(record) ? this.#kept.temps.get(record) : record;
      if (action.kind === 'delete' && id !== undefined) this.#leaving.add(place(entity, id));
    }
    for (const operation of inOrder) {
      const known = this.#kept.receipts.get(operation.id);
      const outcome: Outcome = known
        ? { status: 'duplicate', original: known }
        : this.#judge(entities, client, operation, refused);
      outcomes.set(operation.id, outcome);
      this.#remember(operation.id, outcome);
    }
    const waitsFor = inOrder.map(({ id }) => id).filter((id) => !hasStood(outcomes.get(id)));
    if (waitsFor.length === 0) return outcomes;
    // Nothing of it has happened; what stands in the way has had its last word.
    this.#kept = before;
    for (const [id, outcome] of outcomes) {
      if (outcome.status === 'applied') outcomes.set(id, { status: 'blocked', waitsFor });
      else this.#remember(id, outcome);
    }
    return outcomes;
  }

  #remember(id: string, outcome: Outcome): void {
    if (outcome.status !== 'blocked' && outcome.status !== 'duplicate') this.#kept.receipts.set(id, outcome);
  }

  #judge(
    entities: Schema['entities'],
    client: string,
    operation: Operation,
    refused: (operation: Operation) => Refusal | undefined,
  ): Outcome {
    try {
      const declared = entities[operation.entity];
      if (!declared) throw reject('unknown_entity', `there is no entity '${operation.entity}'`);
      const refusal = refused(structuredClone(operation));
      if (refusal) throw new Stop({ status: 'rejected', error: refusal });
      return this.#apply(entities, declared, client, operation);
    } catch (cause) {
      if (cause instanceof Stop) return cause.outcome;
      throw cause;
    }
  }

  #apply(entities: Schema['entities'], declared: EntitySchema, client: string, operation: Operation): Outcome {
    const { entity, action, record, stamp } = operation;
    const id = isTemp(record) ? this.#kept.temps.get(record) : record;
    if (id === undefined) throw blocked(String(record));
    const before = this.#kept.rows.get(place(entity, id));
    const applied = (version: number): Outcome => ({ status: 'applied', realId: id, version: String(version), stamp });
    if (action.kind === 'create' && operation.base === 'none') {
      if (before) throw reject('already_exists', 'there is or was a record of this ID');
      const data = allowed(declared, this.#mapped(declared, action.data));
      this.#refuseTaken(declared, entity, id, undefined, data);
      const born = isTemp(record) ? { client, bornAs: record } : {};
      return applied(this.#write({ ...{ entity, id, data, stamp, ...born }, fieldStamps: operation.stamps ?? {} }));
    }
    if (!before) throw reject('unknown_record', `there is no ${entity} ${id}`);
    const base = this.#base(operation);
    const conflict = (kind: string, done?: true): Stop => {
      this.#refuseOwn(before, 'changes the same record');
      const met = { conflictId: crypto.randomUUID(), kind, realId: id, server: shown(before) };
      return new Stop({ status: 'conflict', ...met, ...(done && { done }) });
    };
    if (action.kind === 'create') {
      if (before.data || before.version > base) throw conflict(before.data ? 'update-update' : 'update-delete');
      const data = allowed(declared, this.#mapped(declared, action.data));
      this.#refuseTaken(declared, entity, id, before, data);
      return applied(this.#write({ ...before, data, stamp, fieldStamps: operation.stamps ?? {} }));
    }
    if (action.kind === 'delete') {
      if (!before.data) return applied(before.version);
      if (before.version !== base) throw conflict('delete-update');
      this.#take(entities, before, operation);
      return applied(this.#write({ ...before, data: undefined, stamp, fieldStamps: {} }));
    }
    const line = operation.first ?? operation.supersedes ?? operation.id;
    const counts = isRelative(action.delta) && line !== operation.id;
    if (counts && (this.#kept.counted.has(line) || this.#kept.receipts.get(line)?.status === 'applied')) {
      throw conflict(before.data ? 'update-update' : 'update-delete', true);
    }
    const changed = changedBy(before.data ?? {}, action.delta);
    const data = this.#mapped(declared, changed.data);
    const isSo = changed.unfit === undefined && canonical(data) === canonical(before.data);
    // A change of nothing is so everywhere, also where the record is gone.
    if ((before.data && isSo) || changed.fields.length === 0) return applied(base);
    if (!before.data) throw conflict('update-delete');
    if (before.version !== base) throw conflict('update-update');
    if (changed.unfit !== undefined) {
      const path = changed.unfit.slice(1).replaceAll('/', '.');
      throw reject('invalid_value', 'the field is no count or list that this can be done to', path);
    }
    allowed(declared, data);
    this.#refuseTaken(declared, entity, id, before, data);
    if (counts) this.#kept.counted.add(line);
    const stamps = changed.fields.map((field) => [field, operation.stamps?.[field] ?? stamp]);
    return applied(
      this.#write({ ...before, data, fieldStamps: { ...before.fieldStamps, ...Object.fromEntries(stamps) } }),
    );
  }

  /** Does what goes along with a delete, right before it. */
  #take(entities: Schema['entities'], before: Row, { stamp, seen }: Operation): void {
    const live = this.rows.filter((row) => row.data && !this.#leaving.has(place(row.entity, row.id)));
    const upTo = seen === undefined ? undefined : Number(seen);
    const { changed, inTheWay, isTooMuch } = along(entities, live, before, upTo);
    if (isTooMuch) throw reject('too_large', 'with it would go more than 1,000 records that its writer did not know');
    if (inTheWay) throw reject('has_dependents', `${inTheWay.entity} ${inTheWay.id} refers to it`);
    for (const { row, data } of changed) {
      const touched = Object.keys(data ?? {}).filter(
        (field) => canonical(data?.[field]) !== canonical(row.data?.[field]),
      );
      const fieldStamps = { ...row.fieldStamps, ...Object.fromEntries(touched.map((field) => [field, stamp])) };
      this.#write(data ? { ...row, data, fieldStamps } : { ...row, data, stamp, fieldStamps: {} });
    }
  }

  /** What another member of the same transaction did is taken back with it: that is no state to be in conflict with. */
  #refuseOwn(met: Row, what: string): void {
    if (met.version > this.#began) throw reject('invalid_operation', `another member of its group ${what}`, 'group');
  }

  /** What another record holds is nobody else's. */
  #refuseTaken(declared: EntitySchema, entity: string, id: Key, before: Row | undefined, data: Fields): void {
    const others = this.rows.filter((row) => row.entity === entity && row.data && row.id !== id);
    for (const holding of taken(declared, before?.data, data)) {
      const other = others.find((row) => holdings(declared, row.data).some((held) => isSame(held, holding)));
      if (!other) continue;
      this.#refuseOwn(other, 'takes the same values of a constraint');
      const server = before ? shown(before) : { version: '0', stamp: [0, 0] };
      const constraint = structuredClone({
        fields: holding.fields,
        id: other.id,
        version: String(other.version),
        data: other.data,
      });
      const met = {
        conflictId: crypto.randomUUID(),
        kind: 'constraint',
        ...(before && { realId: id }),
        server,
        constraint,
      };
      throw new Stop({ status: 'conflict', ...met });
    }
  }

  #base({ base }: Operation): number {
    if (base === 'none') return 0;
    if ('version' in base) return Number(base.version);
    const receipt = this.#kept.receipts.get(base.after);
    if (receipt?.status !== 'applied') throw blocked(base.after);
    return Number(receipt.version);
  }

  /** A new ID. */
  #name(entity: string, key: string): Key {
    if (key !== 'integer') return crypto.randomUUID();
    const next = (this.#kept.counters.get(entity) ?? 0) + 1;
    this.#kept.counters.set(entity, next);
    return next;
  }

  /** The fields with temp IDs in references replaced; what they name must be there. */
  #mapped(declared: EntitySchema, fields: Fields): Fields {
    const data = structuredClone(fields);
    for (const [path, to] of Object.entries(declared.references ?? {})) {
      each(data, path, (holder, field) => {
        const id = holder[field];
        if (id === null || id === undefined) return;
        const real = isTemp(id) ? this.#kept.temps.get(id) : (id as Key);
        if (real === undefined) throw blocked(String(id));
        const row = this.#kept.rows.get(place(to, real));
        // A member of the same transaction has its name already, and its record in a moment.
        const isComing = isTemp(id) && !row;
        if (!isComing && !row?.data) {
          const code = row ? 'reference_deleted' : 'reference_missing';
          throw reject(code, `'${path}' names ${to} ${real}, which is not there`, path);
        }
        holder[field] = real;
      });
    }
    return data;
  }

  #write(row: Omit<Row, 'version'>): number {
    this.#kept.sequence += 1;
    this.#kept.rows.set(place(row.entity, row.id), { ...row, version: this.#kept.sequence });
    return this.#kept.sequence;
  }
}

/** A record as a conflict shows it. */
function shown({ version, data, stamp, fieldStamps }: Row): object {
  return structuredClone({ version: String(version), ...(data ? { data } : {}), stamp, fieldStamps });
}

/** The record, if it is as the schema declares it. */
function allowed(declared: EntitySchema, data: Fields): Fields {
  const found = faults(declared.fields ?? {}, data);
  const [first] = found;
  if (!first) return data;
  const error = {
    code: 'invalid_record',
    message: `'${first.path}' breaks its rule '${first.rule}'`,
    path: first.path,
  };
  throw new Stop({ status: 'rejected', error: { ...error, faults: found } });
}

function hasStood(outcome: Outcome | undefined): boolean {
  return outcome?.status === 'applied' || (outcome?.status === 'duplicate' && outcome.original.status === 'applied');
}
