/** The server of `fieldsync/testing`, asked as a client asks it: its answers are those of docs/protocol.md. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { beforeEach, describe, test } from 'node:test';

const { TestServer } = await import('../../pkg/dist/testing/server.js');
const { faults } = await import('../../pkg/dist/testing/faults.js');
const { holdings } = await import('../../pkg/dist/testing/unique.js');
const { changedBy } = await import('../../pkg/dist/testing/delta.js');

const schema = {
  name: 'farms',
  version: 1,
  entities: {
    farm: {},
    stall: { references: { farmId: 'farm' }, onDelete: { farmId: 'cascade' } },
    cow: {
      references: { stallId: 'stall', bornIn: 'stall', dam: 'cow', 'grazes[].farmId': 'farm' },
      onDelete: { stallId: 'cascade', 'grazes[].farmId': 'set-null' },
    },
    paper: { references: { cowId: 'cow' } },
    owner: { unique: [['email']] },
  },
};

let server;
let number;

/** The outcomes of operations in one upload. */
async function upload(...operations) {
  const head = { tenant: 'test', requestId: 'r', client: 'c' };
  const answer = await server.serve({ endpoint: 'upload', body: { head, operations } });
  return (await answer.json()).results.map(({ outcome }) => outcome);
}

function operation(entity, record, action, more = {}) {
  number += 1;
  return { ...{ id: `op-${number}`, seq: number, entity, record, action, base: 'none' }, stamp: [number, 0], ...more };
}
const create = (entity, data) => {
  const record = `temp_1_${number}_${entity}`;
  return operation(entity, record, { kind: 'create', data });
};
const update = (entity, record, delta, version) =>
  operation(entity, record, { kind: 'update', delta }, { base: { version: String(version) } });
const remove = (entity, record, version, seen) =>
  operation(entity, record, { kind: 'delete' }, { base: { version: String(version) }, ...(seen && { seen }) });
/** As one transaction. */
const grouped = (...operations) =>
  operations.map((one) => ({ ...one, group: { id: operations[0].id, of: operations.length } }));

beforeEach(() => {
  server = new TestServer(schema, 'test', () => 1_800_000_000_000);
  number = 0;
});

describe('constraints', () => {
  test('who meets one is told the version of the record that holds the values', async () => {
    const [, second] = await upload(create('owner', { email: 'a', name: 'Ada' }), create('owner', { email: 'a' }));
    assert.equal(second.status, 'conflict');
    const data = { email: 'a', name: 'Ada' };
    assert.deepEqual(second.constraint, { fields: ['email'], id: 1, version: '1', data });
  });

  test('values that another member of the transaction takes are no conflict with it', async () => {
    const unit = grouped(create('owner', { email: 'a' }), create('owner', { email: 'a' }));
    const [first, second] = await upload(...unit);
    assert.deepEqual(first, { status: 'blocked', waitsFor: [unit[1].id] });
    assert.deepEqual([second.status, second.error.code, second.error.path], ['rejected', 'invalid_operation', 'group']);
    assert.deepEqual(server.records('owner'), []);
  });
});

describe('changes', () => {
  test('of another member of the transaction are no conflict with it', async () => {
    const id = server.put('farm', { name: 'Linden' });
    const change = (name) => update('farm', id, { set: { '/name': name } }, 1);
    const [, second] = await upload(...grouped(change('a'), change('b')));
    assert.deepEqual([second.status, second.error.code, second.error.path], ['rejected', 'invalid_operation', 'group']);
    assert.equal(server.records('farm')[0].name, 'Linden');
  });

  test('an object with its members in another order is the same', async () => {
    const id = server.put('farm', { at: { x: 1, y: [{ a: 1, b: 2 }] } });
    const [same] = await upload(update('farm', id, { set: { '/at': { y: [{ b: 2, a: 1 }], x: 1 } } }, 1));
    assert.deepEqual([same.status, same.version], ['applied', '1']);
    const [other] = await upload(update('farm', id, { set: { '/at': { y: [], x: 1 } } }, 1));
    assert.deepEqual([other.status, other.version], ['applied', '2']);
  });

  test('reach only what a record has of its own', async () => {
    const [one] = await upload(create('farm', JSON.parse('{"__proto__": {"a": 1}}')));
    assert.equal(one.status, 'applied');
    await upload(update('farm', 1, { set: { '/__proto__/b': 2 } }, 1));
    const [{ id: _, ...data }] = server.records('farm');
    assert.deepEqual(JSON.stringify(data), '{"__proto__":{"a":1,"b":2}}');
    assert.equal({}.b, undefined, 'nothing else has it');
    assert.deepEqual(changedBy({ a: 1 }, { unset: ['/b/c'], add: { '/valueOf': 2 } }).data, { a: 1, valueOf: 2 });
  });
});

describe('a delete', () => {
  /** A farm with a stall in it and a cow in that; and a cow that grazes at the farm. */
  function settled() {
    const farm = server.put('farm', { name: 'Linden' });
    const stall = server.put('stall', { farmId: farm });
    const cow = server.put('cow', { stallId: stall });
    server.put('cow', { name: 'Ida', grazes: [{ farmId: farm, ha: 2 }] });
    return { farm, stall, cow };
  }
  const counts = () => ['farm', 'stall', 'cow', 'paper'].map((entity) => server.records(entity).length);

  test('takes along what is newer than its writer had seen, right before it', async () => {
    const { farm, stall, cow } = settled();
    const [gone] = await upload(remove('farm', farm, 1, '1'));
    assert.deepEqual([gone.status, gone.version], ['applied', '8']);
    assert.deepEqual(counts(), [0, 0, 1, 0]);
    assert.deepEqual(server.records('cow'), [{ id: 2, name: 'Ida', grazes: [{ farmId: null, ha: 2 }] }]);
    const head = { tenant: 'test', requestId: 'r', client: 'c' };
    const answer = await server.serve({ endpoint: 'download', body: { head, checkpoint: '4' } });
    const [, , { changes }] = (await answer.text()).trim().split('\n').map(JSON.parse);
    const told = changes.map(({ entity, id, version, kind }) => [entity, id, version, kind]);
    const went = [
      ['cow', cow, '6', 'delete'],
      ['stall', stall, '7', 'delete'],
      ['farm', farm, '8', 'delete'],
    ];
    assert.deepEqual(told, [['cow', 2, '5', 'upsert'], ...went]);
    assert.deepEqual(changes[0].fieldStamps.grazes, [1, 0]);
  });

  test('meets what its writer had seen, at whatever depth', async () => {
    const { farm } = settled();
    for (const seen of [undefined, '2', '3', '4']) {
      const [refused] = await upload(remove('farm', farm, 1, seen));
      assert.deepEqual([refused.status, refused.error.code], ['rejected', 'has_dependents'], `seen ${seen}`);
    }
    assert.deepEqual(counts(), [1, 1, 2, 0]);
  });

  test('meets what is declared to stand in its way, however new', async () => {
    const { farm, cow } = settled();
    const paper = server.put('paper', { cowId: cow });
    const [refused] = await upload(remove('farm', farm, 1, '1'));
    assert.deepEqual([refused.error.code, refused.error.message], ['has_dependents', `paper ${paper} refers to it`]);
    // What goes along by one reference and not by another stays.
    server.remove('paper', paper);
    server.put('cow', { stallId: 1, bornIn: 1 });
    const [stricter] = await upload(remove('farm', farm, 1, '1'));
    assert.equal(stricter.error.code, 'has_dependents');
    assert.deepEqual(counts(), [1, 1, 3, 0]);
  });

  test('is not in the way of another one of its transaction, in a circle too', async () => {
    const [one, two] = [server.put('cow', {}), server.put('cow', { dam: 1 })];
    server.put('cow', { dam: two }, { id: one });
    const outcomes = await upload(...grouped(remove('cow', one, 3), remove('cow', two, 2)));
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['applied', 'applied'],
    );
    assert.deepEqual(counts(), [0, 0, 0, 0]);
  });

  test('takes no more than a thousand along', async () => {
    const farm = server.put('farm', {});
    for (let count = 0; count < 1_001; count += 1) server.put('stall', { farmId: farm });
    const [refused] = await upload(remove('farm', farm, 1, '1'));
    assert.equal(refused.error.code, 'too_large');
    server.remove('stall', 1);
    assert.equal((await upload(remove('farm', farm, 1, '1')))[0].status, 'applied');
    assert.deepEqual(counts(), [0, 0, 0, 0]);
  });
});

test('a path names what the record has of its own, as for the engine', async () => {
  const cases = JSON.parse(await readFile(new URL('../../tests/members.json', import.meta.url), 'utf8'));
  for (const { path, record, value } of cases) {
    const held = holdings({ unique: [[path]] }, record).map(({ values }) => JSON.parse(values));
    assert.deepEqual(held, value === undefined ? [] : [[value]], path);
    const isMissing = faults({ [path]: { required: true } }, record).length > 0;
    assert.equal(isMissing, value === undefined, path);
  }
});

test('trails of devices are taken once and in order, and what does not continue one is refused', async () => {
  const ask = async (client, rows, begins) => {
    const head = { tenant: 'test', requestId: 'r', client };
    const answer = await (await server.serve({ endpoint: 'audit', body: { head, rows, begins } })).json();
    return answer.trail ?? [answer.error.code, answer.error.details.reason, answer.error.details.number];
  };
  const row = (seq, previous, hash) => ({ seq, previous, user: 'anna', entries: [], hash });
  const rows = [row(1, 0, 'a'), row(3, 1, 'b'), row(4, 3, 'c'), row(7, 4, 'd')];
  assert.deepEqual(await ask('c', []), { through: 0, head: '0'.repeat(64) });
  assert.deepEqual(await ask('c', rows.slice(0, 2)), { through: 3, head: 'b' });
  assert.deepEqual(await ask('c', rows.slice(0, 3)), { through: 4, head: 'c' });
  assert.deepEqual(await ask('other', [row(1, 0, 'x')]), { through: 1, head: 'x' });
  assert.deepEqual(await ask('c', [row(4, 3, 'x')]), ['audit_refused', 'fork', 4]);
  assert.deepEqual(await ask('c', [row(5, 3, 'x')]), ['audit_refused', 'fork', 5]);
  assert.deepEqual(await ask('c', [row(9, 7, 'x')]), ['audit_refused', 'gap', 9]);
  assert.deepEqual(await ask('c', [row(9, 7, 'e')], { through: 7, head: 'd' }), { through: 9, head: 'e' });
  assert.deepEqual(
    server.auditRows().map(({ hash }) => hash),
    ['a', 'b', 'c', 'e', 'x'],
  );
  assert.deepEqual(server.auditRows({ tenant: 'another' }), []);
});
