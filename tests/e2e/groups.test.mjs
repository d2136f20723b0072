/**
 * Transactions: several writes of which all take effect or none. In the page before anything is sent, on the server's
 * disk, and as a second device sees them; also where one member is refused and where one is in conflict.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openStage, TENANT } from './support-stage.mjs';

const SCHEMA = {
  name: 'clinic',
  version: 1,
  entities: {
    client: {},
    pet: { references: { clientId: 'client' }, conflicts: { fields: { dose: 'manual' } } },
    visit: { references: { petId: 'pet' } },
  },
};

describe('groups', { timeout: 120_000 }, () => {
  let stage;
  let desk;
  let page;
  let phone;
  /** Every operation that was applied. */
  const applied = [];

  before(async () => {
    stage = await openStage({ schema: SCHEMA });
    desk = await stage.device();
    page = await desk.tab('anna');
    phone = await (await stage.device()).tab('ben');
  });
  after(() => stage?.close());

  const sync = (tab) => tab.evaluate(() => globalThis.app.client.engine.sync());
  const queue = (tab) => tab.evaluate(() => globalThis.app.client.queue.list());
  const all = (tab, entity) => tab.evaluate((type) => globalThis.app.client.query(type), entity);

  test('a household is saved as a whole, children before parents, and goes up in one upload', async () => {
    const saved = await page.evaluate(async () => {
      const { client } = globalThis.app;
      const [ada, rex] = ['client', 'pet'].map((entity) => client.tempIds.generateTempId(entity));
      const all = await client.transaction([
        { kind: 'create', entity: 'visit', data: { petId: rex, reason: 'Vaccination' } },
        { kind: 'create', entity: 'pet', data: { id: rex, clientId: ada, name: 'Rex', dose: 1 } },
        { kind: 'create', entity: 'client', data: { id: ada, name: 'Ada' } },
      ]);
      globalThis.household = all.map(({ synced }) => synced);
      return all.map(({ record, operationId }) => ({ name: record.name ?? record.reason, operationId }));
    });
    assert.deepEqual(
      saved.map(({ name }) => name),
      ['Vaccination', 'Rex', 'Ada'],
    );
    const result = await sync(page);
    assert.deepEqual([result.success, result.synced], [true, 3]);
    const [upload, ...others] = stage.gateway.uploads();
    assert.deepEqual(others, []);
    const groups = upload.operations.map(({ group }) => group);
    assert.equal(groups[0].of, 3);
    for (const group of groups) assert.deepEqual(group, groups[0]);
    const outcomes = await page.evaluate(async () => Promise.all(globalThis.household));
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['applied', 'applied', 'applied'],
    );
    applied.push(...saved.map(({ operationId }) => operationId));
  });

  test('a second device sees the household whole, at every moment', async () => {
    const seen = await phone.evaluate(async () => {
      const { client } = globalThis.app;
      const counts = [];
      const look = async () => {
        const [visits, pets, clients] = await Promise.all(['visit', 'pet', 'client'].map((type) => client.count(type)));
        counts.push(`${visits} ${pets} ${clients}`);
      };
      const looks = [];
      const stop = client.on('change', () => looks.push(look()));
      await look();
      await client.engine.sync();
      stop();
      await Promise.all(looks);
      await look();
      return [...new Set(counts)];
    });
    assert.deepEqual(seen, ['0 0 0', '1 1 1']);
    const [visit] = await all(phone, 'visit');
    const [pet] = await all(phone, 'pet');
    const [client] = await all(phone, 'client');
    assert.deepEqual([visit.petId, pet.clientId, client.name], [pet.id, client.id, 'Ada']);
  });

  test('one write that cannot be saved, and nothing is saved; the error names its place', async () => {
    const refused = await page.evaluate(async () => {
      const { client, fieldsync } = globalThis.app;
      const good = { kind: 'create', entity: 'client', data: { name: 'Ben' } };
      const bad = [
        { kind: 'update', entity: 'client', id: 4711, changes: { name: 'nobody' } },
        { kind: 'create', entity: 'pet', data: { clientId: true } },
        { kind: 'create', entity: 'pet', data: { weight: Number.NaN } },
        { kind: 'create', entity: 'pet', data: { name: 'x'.repeat(1_100_000) } },
      ];
      const errors = [];
      for (const write of bad) {
        const error = await client.transaction([good, write]).catch((cause) => cause);
        if (!(error instanceof fieldsync.FieldSyncError)) throw error;
        errors.push([error.code, error.details.write]);
      }
      return errors;
    });
    assert.deepEqual(refused, [
      ['unknown_record', 1],
      ['invalid_reference', 1],
      ['invalid_value', 1],
      ['too_large', 1],
    ]);
    assert.deepEqual(await queue(page), []);
    assert.equal((await all(page, 'client')).length, 1);
  });

  test('one member that the server refuses holds all; an edit of it sends all', async () => {
    const [ada] = await all(page, 'client');
    await page.evaluate(async (id) => {
      await globalThis.app.client.transaction([
        { kind: 'update', entity: 'client', id, changes: { phone: '555-0101' } },
        { kind: 'create', entity: 'pet', data: { name: 'Tom', clientId: 4711 } },
      ]);
    }, ada.id);
    const result = await sync(page);
    assert.deepEqual([result.success, result.synced, result.failed], [false, 0, 1]);
    const [update, create] = await queue(page);
    assert.deepEqual([update.state, create.state, create.reason.code], ['blocked', 'parked', 'reference_missing']);
    await sync(phone);
    assert.equal((await all(phone, 'client'))[0].phone, undefined, 'nothing of the group is there');

    await page.evaluate(
      async ([item, clientId]) => globalThis.app.client.queue.edit(item, { clientId }),
      [create, ada.id],
    );
    const again = await queue(page);
    assert.deepEqual(
      again.map(({ state, operation }) => [state, operation.supersedes]),
      [
        ['pending', update.operationId],
        ['pending', create.operationId],
      ],
    );
    assert.deepEqual([(await sync(page)).success, await queue(page)], [true, []]);
    applied.push(...again.map(({ operationId }) => operationId));
    await sync(phone);
    assert.equal((await all(phone, 'client'))[0].phone, '555-0101');
    assert.deepEqual((await all(phone, 'pet')).map(({ name }) => name).sort(), ['Rex', 'Tom']);
  });

  test('one member in conflict holds all, until somebody has decided', async () => {
    const rex = (await all(phone, 'pet')).find(({ name }) => name === 'Rex');
    applied.push(
      await phone.evaluate(async (id) => {
        const { client } = globalThis.app;
        const { operationId } = await client.update('pet', id, { dose: 5 });
        await client.engine.syncToServer();
        return operationId;
      }, rex.id),
    );
    await page.evaluate(
      async ([pet, client]) => {
        await globalThis.app.client.transaction([
          { kind: 'update', entity: 'client', id: client, changes: { name: 'Ada Lindgren' } },
          { kind: 'update', entity: 'pet', id: pet, changes: { dose: 9 } },
        ]);
      },
      [rex.id, rex.clientId],
    );
    await sync(page);
    assert.deepEqual(
      (await queue(page)).map(({ state }) => state),
      ['blocked', 'conflict'],
    );
    await sync(phone);
    assert.equal((await all(phone, 'client'))[0].name, 'Ada');
    await page.evaluate(async () => {
      const { client } = globalThis.app;
      const open = (await client.conflicts.list()).find(({ state }) => state === 'open');
      await client.engine.resolveConflict(open, 'client-wins');
    });
    applied.push(...(await queue(page)).map(({ operationId }) => operationId));
    assert.deepEqual([(await sync(page)).success, await queue(page)], [true, []]);
    await sync(phone);
    assert.equal((await all(phone, 'client'))[0].name, 'Ada Lindgren');
    assert.equal((await phone.evaluate((id) => globalThis.app.client.get('pet', id), rex.id)).dose, 9);
  });

  test('on the disk of the server: each write once, and no other', async () => {
    const database = await stage.server.content(TENANT);
    const changed = database.changes.map(({ operation }) => operation);
    assert.deepEqual([...changed].sort(), [...applied].sort());
    // The refused member and the one in conflict have receipts too; nothing else has.
    assert.equal(database.receipts.length, applied.length + 2);
    assert.deepEqual([database.integrity, database.foreignKeys], ['ok', 0]);
    assert.deepEqual(desk.troubles, []);
  });
});
