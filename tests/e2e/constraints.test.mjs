/**
 * What the schema says of one entity alone, between two devices and the real server: what only one record may have, by what it
 * is told that the other side moved, and what settles itself.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openStage, sync } from './support-stage.mjs';

const SCHEMA = {
  name: 'clinic',
  version: 1,
  entities: {
    client: { unique: [['email'], ['clinic.id', 'number']], conflicts: { default: 'manual' } },
    note: { conflicts: { detect: [{ timestamp: 'updatedAt' }], metadata: ['updatedAt'] } },
  },
};

describe('constraints and signs of an entity', { timeout: 120_000 }, () => {
  let stage;
  let here;
  let there;
  const troubles = [];

  before(async () => {
    stage = await openStage({ schema: SCHEMA });
    [here, there] = await stage.tabs(troubles, 'anna', 'ben');
  });
  after(() => stage?.close());

  const create = (tab, entity, data) =>
    tab.evaluate(
      async ([name, fields]) => (await globalThis.app.client.create(name, fields)).record.id,
      [entity, data],
    );
  const update = (tab, entity, id, changes) =>
    tab.evaluate(
      ([name, key, set]) => globalThis.app.client.update(name, key, set).then(() => undefined),
      [entity, id, changes],
    );
  /** What a call of the client is refused with: the code and the details. */
  const refusal = (tab, call, ...args) =>
    tab.evaluate(
      async ([path, more]) => {
        const { client } = globalThis.app;
        const [room, method] = path.includes('.') ? path.split('.') : [undefined, path];
        const on = room === undefined ? client : client[room];
        return on[method](...more).then(
          () => undefined,
          ({ code, details }) => ({ code, details }),
        );
      },
      [call, args],
    );
  const emails = (tab) =>
    tab.evaluate(async () => {
      const clients = await globalThis.app.client.query('client', { orderBy: 'id' });
      return clients.map(({ email, name }) => [email, name]);
    });
  const openOnes = (tab) => tab.evaluate(() => globalThis.app.client.conflicts.list({ state: 'open' }));
  const resolve = (tab, id, strategy) =>
    tab.evaluate(
      ([key, how]) => globalThis.app.client.engine.resolveConflict(key, how).then(() => undefined),
      [id, strategy],
    );

  test('what a visible record has is refused to another, with the paths and the record', async () => {
    const ada = await create(here, 'client', { email: 'ada@x', name: 'Ada', clinic: { id: 1 }, number: 7 });
    assert.deepEqual(await refusal(here, 'create', 'client', { email: 'ada@x' }), {
      code: 'unique_violation',
      details: { entity: 'client', fields: ['email'], id: ada },
    });
    await sync(here, there);
    const [{ id }] = await there.evaluate(() => globalThis.app.client.query('client'));
    const second = { clinic: { id: 1 }, number: 7 };
    assert.deepEqual((await refusal(there, 'create', 'client', second)).details, {
      entity: 'client',
      fields: ['clinic.id', 'number'],
      id,
    });
    await create(there, 'client', { email: null, number: 7 });
    await sync(there, here);
    assert.equal((await emails(here)).length, 2);
  });

  test('two devices give one email away: the second is asked, sees the other, and decides', async () => {
    await create(here, 'client', { email: 'bo@x', name: 'Bo of here' });
    const theirs = await create(there, 'client', { email: 'bo@x', name: 'Bo of there' });
    await sync(here, there);
    const [met, ...others] = await openOnes(there);
    assert.deepEqual([others, met.kind, met.conflictType, met.affectedFields], [[], 'constraint', 'data', ['email']]);
    assert.deepEqual([met.serverData, met.localData.name, met.recordId], [null, 'Bo of there', theirs]);
    assert.deepEqual([typeof met.other.id, met.other.data], ['number', { email: 'bo@x', name: 'Bo of here' }]);
    assert.deepEqual((await there.evaluate(() => globalThis.app.client.conflicts.statistics())).byKind, {
      constraint: 1,
    });
    // It goes on showing what was written, beside what came with the page.
    assert.equal((await emails(there)).filter(([email]) => email === 'bo@x').length, 2);

    const refused = await refusal(there, 'engine.resolveConflict', met.id, {
      type: 'merge',
      mergedData: { email: 'bo@x', name: 'Bo' },
    });
    assert.equal(refused.code, 'unique_violation');
    const given = await there.evaluate((id) => globalThis.app.client.conflicts.preview(id, 'server-wins'), met.id);
    assert.deepEqual(given, { id: met.id, record: null, operation: null });
    await resolve(there, met.id, 'client-wins');
    await sync(there);
    const [again] = await openOnes(there);
    assert.deepEqual([again.kind, again.other.id], ['constraint', met.other.id]);
    await resolve(there, again.id, { type: 'merge', mergedData: { email: 'bob@x', name: 'Bob' } });
    await sync(there, here);
    assert.deepEqual((await emails(here)).slice(2), await emails(there).then((all) => all.slice(2)));
    assert.deepEqual((await emails(here)).slice(2), [
      ['bo@x', 'Bo of here'],
      ['bob@x', 'Bob'],
    ]);
    assert.deepEqual(await openOnes(there), []);
  });

  test('a record that was refused is given up for the other, and its write is told so', async () => {
    await create(here, 'client', { email: 'cy@x', name: 'Cy' });
    const outcome = there.evaluate(async () => {
      const { synced } = await globalThis.app.client.create('client', { email: 'cy@x', name: 'second' });
      globalThis.first = synced;
    });
    await outcome;
    await sync(here, there);
    assert.equal((await there.evaluate(() => globalThis.first)).status, 'conflict');
    const [met] = await openOnes(there);
    await resolve(there, met.id, 'server-wins');
    await sync(there, here);
    assert.deepEqual(
      (await emails(there)).filter(([email]) => email === 'cy@x'),
      [['cy@x', 'Cy']],
    );
    const { state, resolution, steps } = await there.evaluate((id) => globalThis.app.client.conflicts.get(id), met.id);
    assert.deepEqual([state, resolution, steps.at(-1).by], ['resolved', 'server-wins', 'ben']);
  });

  test('by a time the other side moved or did not, and the time itself is no dispute', async () => {
    await create(here, 'note', { text: '', dose: 0, updatedAt: '2026-01-01T08:00:00Z' });
    await sync(here, there);
    const [{ id }] = await there.evaluate(() => globalThis.app.client.query('note'));
    const both = async (mine, theirs) => {
      await update(here, 'note', id, mine);
      await update(there, 'note', id, theirs);
      await sync(there, here, there);
      const [met] = await here.evaluate(
        (record) => globalThis.app.client.conflicts.list({ entity: 'note', record }),
        id,
      );
      return [met, await there.evaluate((key) => globalThis.app.client.get('note', key), id)];
    };
    const [none, written] = await both({ text: 'mine' }, { text: 'theirs', dose: 1 });
    assert.deepEqual([none, written.text, written.dose], [undefined, 'mine', 1]);
    const [met] = await both(
      { text: 'a', updatedAt: '2026-01-01T09:00:00Z' },
      { text: 'b', updatedAt: '2026-01-01T11:00:00+01:00' },
    );
    assert.deepEqual([met.conflictType, met.affectedFields], ['timestamp', ['text']]);
    assert.deepEqual(troubles, [[], []]);
  });
});
