/**
 * The world of `fieldsync/testing` itself, in this process and from the packed package: what its clock, its devices and its
 * server promise to an app's tests.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { PACKAGE } from './stand.mjs';

const from = (file) => import(pathToFileURL(join(PACKAGE, 'dist', file)));
const { createTestWorld } = await from('testing/index.js');
const { FieldSync, deepEqual, hashData } = await from('index.js');

const schema = {
  name: 'clinic',
  version: 1,
  entities: {
    client: { indexes: ['name'] },
    pet: { references: { clientId: 'client', 'doses[].vet.id': 'client' } },
    note: { key: 'uuid' },
    dose: { references: { petId: 'pet', drugId: 'drug' }, onDelete: { petId: 'cascade', drugId: 'set-null' } },
    owner: { unique: [['email'], ['clinic.id', 'number']] },
    drug: { conflicts: { fields: { stock: 'counter', labels: 'set', lots: { list: 'id' } } } },
    bowl: {
      fields: {
        size: { type: 'integer', required: true, min: 1, max: 9 },
        'owner.name': { type: 'string', minLength: 2, maxLength: 3 },
        kind: { enum: ['tin', { made: ['of', 1] }] },
        tags: { type: 'array', maxLength: 1 },
      },
    },
  },
};

describe('a world of fieldsync/testing', { timeout: 60_000 }, () => {
  let world;
  let phone;
  beforeEach(async () => {
    world = await createTestWorld({ schema, now: 1_800_000_000_000 });
    phone = world.device();
  });
  afterEach(() => world.close());

  test('stands still until its clock is moved', async () => {
    const db = await phone.open({ autoSync: true, pollMs: 10_000 });
    await world.clock.settle();
    const sent = phone.network.requests.length;
    assert.equal(world.clock.now(), 1_800_000_000_000);
    await world.clock.advance(9_999);
    assert.equal(phone.network.requests.length, sent);
    await world.clock.advance(1);
    assert.ok(phone.network.requests.length > sent);
    const { record } = await db.create('client', { name: 'Ada' });
    assert.equal(record._sync.stamp, 1_800_000_010_000);
  });

  test('has the pure functions, also while no device is in use', () => {
    assert.match(hashData({ a: 1 }), /^[0-9a-f]{64}$/);
  });

  test('has a sink that failed wait by its clock', async () => {
    const db = await phone.open();
    await db.create('client', { name: 'Ada' });
    const asked = [];
    const stop = db.audit.subscribe('log', (rows) => {
      asked.push([world.clock.now(), rows.length]);
      if (asked.length === 1) throw new Error('not now');
    });
    await world.clock.settle();
    await world.clock.advance(999);
    assert.deepEqual(asked, [[1_800_000_000_000, 1]]);
    await world.clock.advance(1);
    assert.deepEqual(asked[1], [1_800_000_001_000, 1]);
    stop();
  });

  test('a request without an answer is given up when its time has passed', async () => {
    const db = await phone.open({ timeoutMs: 5_000 });
    phone.network.answer('initialize', () => new Promise(() => {}));
    const session = db.engine.sync();
    await world.clock.advance(4_999);
    assert.equal(db.engine.status().state, 'syncing');
    await world.clock.advance(1);
    assert.equal((await session).errors[0].code, 'timeout');
  });

  test('what a script answers is what the client meets, once', async () => {
    const db = await phone.open();
    const { synced } = await db.create('client', { name: 'Ada' });
    phone.network.answer('upload', { status: 503, headers: { 'Retry-After': '120' }, body: 'busy' });
    assert.deepEqual((await db.engine.sync()).errors[0], {
      ...{
        code: 'server',
        message: (await db.engine.status()).lastError.message,
        retryable: true,
        retryAfterMs: 120_000,
      },
    });
    phone.network.answer('upload', 'lost');
    assert.equal((await db.engine.sync()).errors[0].code, 'network');
    assert.equal((await db.engine.sync()).success, true);
    assert.equal((await synced).status, 'applied');
    const [first] = phone.network.requests;
    assert.deepEqual([first.endpoint, first.token, first.body.head.user], ['initialize', 'test', 'anna']);
  });

  test('devices share nothing but the server', async () => {
    const desk = world.device();
    const [one, other] = [await phone.open(), await desk.open()];
    assert.notEqual(one, other);
    await one.create('client', { name: 'Ada' });
    assert.equal(await other.count('client'), 0);
    await one.engine.sync();
    await other.engine.sync();
    assert.equal((await other.get('client', 1)).name, 'Ada');
  });

  test('what is stored outlives the tab', async () => {
    const db = await phone.open();
    const { record } = await db.create('client', { name: 'Ada' });
    await phone.close();
    await assert.rejects(db.count('client'), { code: 'closed' });
    const again = await phone.open();
    assert.equal((await again.get('client', record.id)).name, 'Ada');
    assert.equal((await again.engine.sync()).synced, 1);
  });

  test('the page is what it was when the world is closed', async () => {
    phone.use();
    const config = { tenant: 'test', user: 'ben', baseUrl: '/api', schema, autoSync: false };
    const db = await FieldSync.open(config);
    assert.equal(deepEqual({ a: 1 }, { a: 1.0 }), true);
    await db.create('client', { name: 'Ada' });
    await world.close();
    await assert.rejects(db.count('client'), { code: 'closed' });
    await assert.rejects(FieldSync.open(config), { code: 'storage_unavailable' });
  });

  test('the server holds records against what the schema says of their fields, as the engine does', async () => {
    const { fields: _, ...bowl } = schema.entities.bowl;
    // A release of the app that says nothing of them, and one that does.
    const loose = await phone.open({ schema: { ...schema, entities: { ...schema.entities, bowl } } });
    const strict = await world.device().open();
    const good = { size: 9, owner: { name: 'Ada' }, kind: { made: ['of', 1.0] }, tags: [1] };
    for (const [path, rule, bad] of [
      ['size', 'type', { size: 1.5 }],
      ['size', 'required', { size: null }],
      ['size', 'min', { size: 0 }],
      ['size', 'max', { size: 10 }],
      ['owner.name', 'type', { owner: { name: 1 } }],
      ['owner.name', 'minLength', { owner: { name: 'A' } }],
      ['owner.name', 'maxLength', { owner: { name: 'Adam' } }],
      ['kind', 'enum', { kind: { made: ['of'] } }],
      ['tags', 'maxLength', { tags: [1, 2] }],
    ]) {
      const faults = [{ path, rule }];
      await assert.rejects(strict.create('bowl', { ...good, ...bad }), { code: 'invalid_record' });
      const { synced, operationId } = await loose.create('bowl', { ...good, ...bad });
      assert.equal((await loose.engine.sync()).failed, 1);
      const { error } = await synced;
      assert.deepEqual([error.code, error.path, error.faults], ['invalid_record', path, faults]);
      await loose.queue.discard(operationId);
      // Somebody else's change is not asked; the engine keeps it aside.
      world.server.put('bowl', { ...good, ...bad });
      assert.equal((await strict.engine.sync()).quarantined, 1);
      assert.deepEqual((await strict.integrity.quarantine()).at(-1).faults, faults);
    }
    await strict.create('bowl', { ...good, owner: { name: null } });
    const { record } = await strict.create('bowl', good);
    assert.equal((await strict.engine.sync()).synced, 2);
    await loose.engine.sync();
    await loose.update('bowl', (await strict.get('bowl', record.id)).id, { size: 10 });
    assert.equal((await loose.engine.sync()).failed, 1);
  });

  test('a function of the app decides, in the time of the world', async () => {
    const functions = { ...schema, entities: { client: { conflicts: { default: 'function' } } } };
    const rules = { client: ({ localData }) => (localData.name === 'late' ? new Promise(() => {}) : 'client-wins') };
    const [one, other] = [await phone.open({ schema: functions, rules }), await world.device().open()];
    for (const [name, last] of [
      ['Eva', 'resolved'],
      ['late', 'asked'],
    ]) {
      const { record } = await one.create('client', { name: 'Ada' });
      await one.engine.sync();
      await other.engine.sync();
      const { id } = await one.get('client', record.id);
      await other.update('client', id, { name: 'Ida' });
      await other.engine.sync();
      await one.update('client', id, { name });
      const session = one.engine.sync();
      await world.clock.advance(5_000);
      assert.equal((await session).success, true);
      const [conflict] = await one.conflicts.list({ entity: 'client', record: id });
      assert.equal(conflict.steps.at(-1).step, last);
    }
  });

  test('the server names records, wherever they are referred to', async () => {
    const db = await phone.open();
    const { record: ada } = await db.create('client', { name: 'Ada' });
    await db.create('pet', { clientId: ada.id, doses: [{ vet: { id: ada.id } }, { vet: null }] });
    await db.create('note', { text: 'hay' });
    assert.equal((await db.engine.sync()).synced, 3);
    assert.deepEqual(world.server.records('pet'), [{ id: 1, clientId: 1, doses: [{ vet: { id: 1 } }, { vet: null }] }]);
    const [{ id }] = world.server.records('note');
    assert.equal((await db.query('note'))[0].id, id);
    // The reference keeps the client where it is.
    world.server.put('client', { name: 'Ben' });
    const { synced } = await db.delete('client', 1).catch(({ code }) => ({ synced: code }));
    assert.equal(synced, 'has_dependents');
  });

  test('a transaction takes effect as a whole or not at all', async () => {
    const db = await phone.open();
    world.server.refuse(({ action }) => (action.data?.name === 'Rex' ? { code: 'no', message: 'not him' } : undefined));
    const id = db.tempIds.generateTempId('client');
    const writes = (name) => [
      { kind: 'create', entity: 'pet', data: { name, clientId: id } },
      { kind: 'create', entity: 'client', data: { id, name: 'Ada' } },
    ];
    await db.transaction(writes('Rex'));
    await db.engine.sync();
    assert.deepEqual([world.server.records('client'), world.server.records('pet')], [[], []]);
    const [parked] = (await db.queue.list()).filter(({ state }) => state === 'parked');
    await db.queue.edit(parked, { name: 'Max' });
    await db.engine.sync();
    assert.deepEqual(world.server.records('client'), [{ id: 1, name: 'Ada' }]);
    assert.deepEqual(world.server.records('pet'), [{ id: 1, name: 'Max', clientId: 1 }]);
    assert.deepEqual(await db.queue.list(), []);
  });

  test('what somebody else deletes is gone, and what both change is in conflict', async () => {
    const db = await phone.open();
    const [ada, ben] = [world.server.put('client', { name: 'Ada' }), world.server.put('client', { name: 'Ben' })];
    await db.engine.sync();
    world.server.remove('client', ada);
    await db.update('client', ben, { name: 'Benjamin' });
    await world.clock.advance(1_000);
    world.server.put('client', { name: 'Benedict', phone: '1' }, { id: ben });
    await db.engine.sync();
    assert.equal(await db.get('client', ada), undefined);
    assert.equal((await db.get('client', ben)).name, 'Benedict');
    const [conflict] = await db.conflicts.list();
    assert.deepEqual([conflict.localData.name, conflict.serverData.name], ['Benjamin', 'Benedict']);
  });

  test('what settles itself does not stand against a deletion, and the session ends', async () => {
    const entities = { client: { conflicts: { metadata: ['updatedAt'] } } };
    const db = await phone.open({ schema: { ...schema, entities } });
    const id = world.server.put('client', { name: 'Ada', updatedAt: 1 });
    await db.engine.sync();
    await db.update('client', id, { updatedAt: 2 });
    world.server.remove('client', id);
    assert.equal((await db.engine.sync()).success, true);
    assert.equal(await db.get('client', id), undefined);
    assert.deepEqual([await db.conflicts.list(), await db.queue.list()], [[], []]);
  });

  test('what two devices count and put into lists comes together', async () => {
    const [one, other] = [await phone.open(), await world.device().open({ user: 'ben' })];
    const lots = [
      { id: 'a', left: 5 },
      { id: 'b', left: 5 },
    ];
    const { record } = await one.create('drug', { stock: 10, labels: ['cold'], lots });
    await one.engine.sync();
    await other.engine.sync();
    const [drug] = await other.query('drug');
    await other.update('drug', drug.id, { stock: 9, labels: ['cold', 'new'], lots: [{ id: 'a', left: 4 }, lots[1]] });
    await one.update('drug', record.id, { stock: 8, labels: ['dry'], lots: [{ id: 'c' }, lots[1], lots[0]] });
    for (const db of [other, one, other]) assert.equal((await db.engine.sync()).success, true);
    for (const db of [one, other]) {
      const { stock, labels, lots: now } = await db.get('drug', drug.id);
      const expected = [{ id: 'c' }, { id: 'b', left: 5 }, { id: 'a', left: 4 }];
      assert.deepEqual({ stock, labels, now }, { stock: 7, labels: ['new', 'dry'], now: expected });
      assert.deepEqual([await db.conflicts.list(), await db.queue.list()], [[], []]);
    }
  });

  test('what only one record may have is left to the first, and the second is asked', async () => {
    const [one, other] = [await phone.open(), await world.device().open({ user: 'ben' })];
    const { record } = await one.create('owner', { email: 'a', clinic: { id: 1 }, number: null });
    await assert.rejects(one.create('owner', { email: 'a' }), { code: 'unique_violation' });
    await other.create('owner', { email: 'b', clinic: { id: 1 }, number: null });
    await other.engine.sync();
    const { record: second } = await other.create('owner', { email: 'a', name: 'Bo' });
    for (const db of [one, other]) assert.equal((await db.engine.sync()).success, true);
    const [met] = await other.conflicts.list({ kind: 'constraint', state: 'open' });
    const first = world.server.records('owner').find(({ email }) => email === 'a');
    const { id, ...data } = first;
    assert.deepEqual([met.affectedFields, met.serverData, met.other], [['email'], null, { id, data }]);
    assert.equal((await other.get('owner', second.id)).name, 'Bo');
    // Of a change the server's side is shown, and everything else is as it was.
    await other.engine.resolveConflict(met, { type: 'merge', mergedData: { email: 'c', name: 'Bo' } });
    assert.equal((await other.engine.sync()).success, true);
    assert.equal(world.server.records('owner').length, 3);
    await one.update('owner', record.id, { email: 'd' });
    world.server.put('owner', { email: 'd' }, { id: 1 });
    await one.engine.sync();
    const [changed] = await one.conflicts.list({ kind: 'constraint' });
    assert.deepEqual([changed.serverData.email, changed.localData.email, changed.other.id], ['a', 'd', 1]);
  });

  test('a delete takes along what its device could not know, and meets what it knew', async () => {
    const [one, other] = [await phone.open(), await world.device().open({ user: 'ben' })];
    const [pet, drug] = [world.server.put('pet', { name: 'Rex' }), world.server.put('drug', { stock: 1 })];
    world.server.put('dose', { petId: pet });
    for (const db of [one, other]) await db.engine.sync();
    await one.delete('pet', pet);
    await one.delete('drug', drug);
    assert.deepEqual(
      (await one.queue.list()).map(({ entity }) => entity),
      ['dose', 'pet', 'drug'],
    );
    await other.create('dose', { petId: pet });
    await other.create('dose', { drugId: drug });
    for (const db of [other, one, other]) assert.equal((await db.engine.sync()).success, true);
    assert.deepEqual([world.server.records('pet'), world.server.records('drug')], [[], []]);
    assert.deepEqual(world.server.records('dose'), [{ id: 3, drugId: null }]);
    for (const db of [one, other]) {
      assert.deepEqual([await db.count('dose'), (await db.get('dose', 3)).drugId, await db.count('pet')], [1, null, 0]);
    }
  });

  test('a page of many records comes in parts', async () => {
    for (let number = 0; number < 25; number += 1) world.server.put('client', { name: `client ${number}` });
    const db = await phone.open({ pageSize: 10 });
    assert.equal((await db.engine.sync()).downloaded, 25);
    assert.equal(await db.count('client', { where: { name: { prefix: 'client' } } }), 25);
  });
});
