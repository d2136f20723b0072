/** Records are checked against the app's own description: entity names, fields, values, conditions. */
import {
  type EntitySchema,
  type FieldShape,
  FieldSync,
  type Key,
  type Schema,
  type Stored,
  type SyncConfig,
  type SyncedOutcome,
  type Write,
} from '../src/index.js';
import { type Assignable, expect, type Same } from './equal.js';

// An interface has no index signature; it must do all the same.
interface Clinic {
  client: { name: string; phone?: string };
  pet: { name: string; clientId: Key; species: 'dog' | 'cat'; weight?: number; born?: string };
  appointment: { petId: Key; attendees: { practitionerId: Key; role: string }[] };
}

const schema = {
  name: 'clinic',
  version: 1,
  lanes: [{ name: 'urgent', strict: true }, { name: 'later' }],
  entities: {
    client: {},
    pet: {
      references: { clientId: 'client' },
      onDelete: { clientId: 'cascade' },
      indexes: ['name'],
      unique: [['clientId', 'name']],
      lane: 'urgent',
      fields: {
        clientId: { required: true },
        species: { type: 'string', enum: ['dog', 'cat'] },
        weight: { type: 'number', min: 0, max: 200 },
        name: { type: 'string', minLength: 1, maxLength: 100 },
      },
    },
    appointment: { references: { petId: 'pet', 'attendees[].practitionerId': 'client' } },
  },
} as const satisfies Schema<Clinic>;

export async function clinic(): Promise<void> {
  const app = await FieldSync.open<Clinic>({ tenant: 1, user: 'ann', baseUrl: 'http://localhost/api/v1/sync', schema });
  // Functions of the app decide conflicts: at once or later, by a name or a strategy.
  const rules: SyncConfig<Clinic>['rules'] = {
    pet: async ({ localData, serverData }) => ({
      type: 'merge',
      mergedData: { ...serverData, ...localData, weight: Math.max(serverData?.weight ?? 0, localData?.weight ?? 0) },
    }),
    client: ({ kind }) => (kind === 'update-update' ? 'last-write-wins' : 'manual'),
  };
  rules satisfies object;
  // What a rule sees has the record's fields; its ID is the conflict's.
  const told: SyncConfig<Clinic>['rules'] = {
    pet: ({ localData, entity, recordId }) => {
      // @ts-expect-error: no id among the fields
      localData?.id;
      expect<Same<typeof localData, Clinic['pet'] | null>>(true);
      return entity === String(recordId) ? 'manual' : 'client-wins';
    },
  };
  ({ rules: told, audit: { content: { pet: undefined, '*': 'fields' } } }) satisfies Partial<SyncConfig<Clinic>>;
  const [listed] = await app.conflicts.list({ entity: 'pet', state: 'open' });
  expect<Same<NonNullable<typeof listed>['serverData'], Clinic['pet'] | null>>(true);
  const [other] = await app.conflicts.list({ state: 'open' });
  if (other) {
    expect<Same<typeof other.localData, unknown>>(true);
    const life = await app.conflicts.history({ entity: other.entity, record: other.recordId });
    life[0]?.steps.at(-1)?.step satisfies string | undefined;
  }
  const validators: SyncConfig<Clinic>['validators'] = {
    pet: ({ id, weight = 0 }) => (weight > 90 ? [{ path: 'weight', message: `too much for ${id}` }] : null),
    client: async ({ phone }) => (phone?.startsWith('+') ? [] : [{ path: 'phone', message: 'with its country' }]),
    appointment: () => undefined,
  };
  validators satisfies object;
  // @ts-expect-error: it says what is wrong, and where
  ({ client: () => ['phone'] }) satisfies SyncConfig<Clinic>['validators'];
  // @ts-expect-error: no such field
  ({ client: ({ age }) => age }) satisfies SyncConfig<Clinic>['validators'];
  // @ts-expect-error: no such strategy
  ({ client: () => 'theirs' }) satisfies SyncConfig<Clinic>['rules'];
  // @ts-expect-error: no such type
  ({ type: 'date' }) satisfies FieldShape;
  // @ts-expect-error: no such entity
  ({ dragon: () => 'manual' }) satisfies SyncConfig<Clinic>['rules'];
  expect<Same<typeof app, FieldSync<Clinic>>>(true);

  const pet = await app.create('pet', { name: 'Rex', clientId: 'temp_1_a_client', species: 'dog', born: new Date() });
  expect<Same<typeof pet.record, Stored<Clinic['pet']>>>(true);
  pet.record.species satisfies 'dog' | 'cat';
  pet.operationId satisfies string | null;
  const outcome = await pet.synced;
  expect<Assignable<typeof outcome, SyncedOutcome<Clinic['pet']>>>(true);
  if (outcome.status === 'rejected') outcome.error.code satisfies string;
  if (outcome.status === 'rejected') outcome.error.faults?.[0]?.rule satisfies string | undefined;

  // A record that was handed out can be given back: its marks are ignored.
  await app.update('pet', pet.record.id, pet.record);
  await app.update('pet', 12, { weight: 4.5, born: undefined });
  const { record } = await app.delete('pet', 12);
  expect<Same<typeof record, null>>(true);

  const [rex, visit, gone] = await app.transaction([
    { kind: 'create', entity: 'pet', data: { name: 'Rex', clientId: 1, species: 'dog' } },
    { kind: 'update', entity: 'appointment', id: 4, changes: { petId: 'temp_1_a_pet' } },
    { kind: 'delete', entity: 'client', id: 3 },
  ]);
  expect<Same<typeof rex.record, Stored<Clinic['pet']>>>(true);
  expect<Same<typeof visit.record, Stored<Clinic['appointment']>>>(true);
  expect<Same<typeof gone.record, null>>(true);
  const writes: Write<Clinic>[] = ['ann', 'ben'].map((name) => ({ kind: 'create', entity: 'client', data: { name } }));
  const [first] = await app.transaction(writes);
  first?.operationId satisfies string | null | undefined;

  const found = await app.get('pet', 12);
  expect<Same<typeof found, Stored<Clinic['pet']> | undefined>>(true);
  await app.query('pet', {
    where: { species: { in: ['dog'] }, weight: { gte: 3 }, id: 12 },
    orderBy: 'name',
    limit: 5,
  });
  await app.query('appointment', {
    where: { 'attendees[].practitionerId': 3 },
    orderBy: [
      ['petId', 'desc'],
      ['id', 'asc'],
    ],
  });
  (await app.count('client')) satisfies number;

  const stop: () => void = app.on('change', ({ entity, ids, source }) => {
    entity satisfies string;
    expect<Same<typeof ids, Key[] | undefined>>(true);
    source satisfies 'local' | 'sync' | 'elsewhere';
  });
  stop();

  // @ts-expect-error: a pet has no petId
  await app.transaction([{ kind: 'update', entity: 'pet', id: 1, changes: { petId: 1 } }]);
  // @ts-expect-error: no such kind
  await app.transaction([{ kind: 'upsert', entity: 'client', data: { name: 'Ada' } }]);
  // @ts-expect-error: no such entity
  await app.create('pets', { name: 'Rex' });
  // @ts-expect-error: the reference is missing
  await app.create('pet', { name: 'Rex', species: 'dog' });
  // @ts-expect-error: no such species
  await app.create('pet', { name: 'Rex', clientId: 1, species: 'cow' });
  // @ts-expect-error: no such field
  await app.update('pet', 12, { colour: 'black' });
  // @ts-expect-error: a Date is not one of these words
  await app.update('pet', 12, { species: new Date() });
  // @ts-expect-error: no such field to ask for
  await app.query('pet', { where: { colour: 'black' } });
  // @ts-expect-error: weight is a number
  await app.query('pet', { where: { weight: { gte: 'heavy' } } });
  // @ts-expect-error: no such event
  app.on('changed', () => {});
  // @ts-expect-error: an ID is a string or a number
  await app.get('pet', { id: 12 });
  // @ts-expect-error: an entity that is not described
  app.tempIds.generateTempId('owner');
}

// @ts-expect-error: a reference to an entity that is not declared
({ name: 'clinic', version: 1, entities: { pet: { references: { clientId: 'owner' } } } }) satisfies Schema<{
  pet: object;
}>;
// @ts-expect-error: an entity is missing
({ name: 'clinic', version: 1, entities: { pet: {} } }) satisfies Schema<Clinic>;

/** The rules of conflicts: those that put both changes together are for single fields. */
export const rules = {
  name: 'shop',
  version: 1,
  entities: {
    client: {
      conflicts: {
        default: 'manual',
        kinds: { 'update-delete': 'client-wins', 'delete-update': 'server-wins' },
        fields: { name: 'text', phone: 'set', visits: 'counter', lines: { list: 'id' }, rank: 'last-write-wins' },
        groups: [['street', 'city']],
        detect: ['version', { timestamp: 'updatedAt' }],
        metadata: ['updatedAt', 'updatedBy'],
      },
    },
    // @ts-expect-error a rule that merges is none for a record
    pet: { conflicts: { default: 'set' } },
    // @ts-expect-error a list is told apart by a field
    appointment: { conflicts: { fields: { attendees: 'list' } } },
  },
} as const satisfies Schema<Clinic>;

({ detect: ['hash'] }) satisfies EntitySchema['conflicts'];
// @ts-expect-error a constraint is a list of paths
({ unique: ['email'] }) satisfies EntitySchema;
// A schema that is imported from a JSON file: its lists are no tuples, and its words are texts.
const imported = {
  name: 'clinic',
  version: 1,
  entities: {
    client: { key: 'uuid', conflicts: { default: 'manual', detect: ['version', 'hash'], metadata: ['updatedAt'] } },
    pet: { references: { clientId: 'client' }, onDelete: { clientId: 'cascade' }, unique: [['chip']] },
    appointment: { fields: { note: { type: 'string', required: true } } },
  },
};
imported as Schema<Clinic> satisfies Schema<Clinic>;
// @ts-expect-error a time is told by a field
({ detect: ['timestamp'] }) satisfies EntitySchema['conflicts'];
// @ts-expect-error no such rule
({ name: 'clinic', version: 1, entities: { pet: { onDelete: { clientId: 'vanish' } } } }) satisfies Schema;
