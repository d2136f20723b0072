/** The comparison itself: it accepts the same graph under a mapping, and sees every planted difference. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { differences, edges } from './compare.mjs';

const folder = {
  name: 'small',
  entities: {
    owner: {
      key: 'text',
      references: {},
      records: [
        { id: 'o1', name: 'Ada' },
        { id: 'o2', name: 'Bo' },
      ],
    },
    pet: {
      key: 'integer',
      references: { ownerId: 'owner', 'visits[].by': 'owner', friend: 'pet' },
      records: [
        { id: 1, name: 'x', ownerId: 'o1', visits: [{ by: 'o2', fee: 1.5 }], friend: null },
        { id: 2, name: 'y', ownerId: 'o2', visits: [], friend: 1 },
      ],
    },
  },
};
const ids = new Map([
  ['owner o1', 'srv-a'],
  ['owner o2', 'srv-b'],
  ['pet 1', 71],
  ['pet 2', 72],
]);
const idOf = (entity, id) => ids.get(`${entity} ${id}`);

/** The right copy; `change` spoils it. */
function spoiled(change = () => {}) {
  const copy = {
    owner: [
      { id: 'srv-b', name: 'Bo', _sync: { version: '2', key: 'k' } },
      { id: 'srv-a', name: 'Ada', _sync: { version: '1', key: 'k' } },
    ],
    pet: [
      { id: 71, name: 'x', ownerId: 'srv-a', visits: [{ by: 'srv-b', fee: 1.5 }], friend: null },
      { id: 72, name: 'y', ownerId: 'srv-b', visits: [], friend: 71 },
    ],
  };
  change(copy);
  return differences(folder, copy, idOf);
}

test('the same graph under the mapping has no difference', () => {
  assert.deepEqual(spoiled(), []);
});

const PLANTED = {
  'a changed value': (copy) => Object.assign(copy.owner[0], { name: 'Bö' }),
  'a number as text': (copy) => Object.assign(copy.pet[0].visits[0], { fee: '1.5' }),
  'a missing field': (copy) => delete copy.pet[0].friend,
  'a field too many': (copy) => Object.assign(copy.pet[1], { stray: null }),
  'a reference to another record': (copy) => Object.assign(copy.pet[1], { ownerId: 'srv-a' }),
  'a nested reference that kept the file ID': (copy) => Object.assign(copy.pet[0].visits[0], { by: 'o2' }),
  'a self reference that kept a temp ID': (copy) => Object.assign(copy.pet[1], { friend: 'temp_1_abc_pet' }),
  'a lost record': (copy) => copy.pet.pop(),
  'a doubled record': (copy) => copy.pet.push({ ...copy.pet[0] }),
  'a record under a second ID': (copy) => copy.pet.push({ ...copy.pet[0], id: 99 }),
  'an entity too many': (copy) => Object.assign(copy, { ghost: [] }),
};

for (const [what, change] of Object.entries(PLANTED)) {
  test(`${what} is seen`, () => assert.notDeepEqual(spoiled(change), []));
}

test('a mapping that joins two records, lacks one or gives the wrong kind of ID is seen', () => {
  const copy = { owner: [{ id: 'srv-a', name: 'Ada' }], pet: [] };
  const only = { name: 'x', entities: { owner: { ...folder.entities.owner } } };
  assert.notDeepEqual(
    differences(only, { owner: copy.owner }, () => 'srv-a'),
    [],
  );
  assert.notDeepEqual(
    differences(only, { owner: copy.owner }, () => undefined),
    [],
  );
  const numbered = [
    { id: 1, name: 'Ada' },
    { id: 2, name: 'Bo' },
  ];
  assert.notDeepEqual(
    differences(only, { owner: numbered }, (_, id) => Number(id.slice(1))),
    [],
  );
});

test('every reference is an edge, nested ones and self references too', () => {
  assert.deepEqual(edges(folder), [
    ['pet', 1, 'ownerId', 'owner', 'o1'],
    ['pet', 1, 'visits[].by', 'owner', 'o2'],
    ['pet', 2, 'ownerId', 'owner', 'o2'],
    ['pet', 2, 'friend', 'pet', 1],
  ]);
});
