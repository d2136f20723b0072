/**
 * The table of docs/conflicts.md, kind by rule, through real browsers and the real server: two devices meet once for each of
 * its cells, and what it says stands is what both have in the end.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { openStage, sync } from './support-stage.mjs';

const page = await readFile(new URL('../../docs/conflicts.md', import.meta.url), 'utf8');
const [, table] = page.match(/<!-- cells -->\n(.*?)<!-- \/cells -->/s);
/** Each row twice: the side that comes to the server second wrote later, or earlier. */
const CELLS = table
  .split('\n')
  .slice(2, -1)
  .flatMap((row) => {
    const [, kind, rule, ...stands] = row.split('|').map((cell) => cell.replaceAll('`', '').trim());
    return ['later', 'earlier'].map((wrote, at) => ({ kind, rule, wrote, stands: stands[at] }));
  })
  .map((cell, at) => ({ ...cell, entity: `e${at}` }));

/** An entity for each cell: the rule is that of the entity. */
const SCHEMA = {
  name: 'cells',
  version: 1,
  entities: Object.fromEntries(CELLS.map(({ entity, rule }) => [entity, { conflicts: { default: rule } }])),
};

/** By how much one side is later than the other: more than the offsets to the server's clock can be off. */
const LATER_MS = 500;

describe('every kind by every rule', { timeout: 120_000 }, () => {
  let stage;
  let here;
  let there;
  const troubles = [];

  before(async () => {
    stage = await openStage({ schema: SCHEMA });
    [here, there] = await stage.tabs(troubles, 'anna', 'ben');
    const asked = CELLS.filter(({ rule }) => rule === 'function').map(({ entity }) => entity);
    // Functions cannot be sent to a page: it opens once more, with its own.
    await here.evaluate(
      async ([settings, entities]) => {
        const { app } = globalThis;
        await app.client.close();
        const says = () => ({ type: 'merge', mergedData: { name: 'function' } });
        await app.open({ ...settings, rules: Object.fromEntries(entities.map((entity) => [entity, says])) });
      },
      [await stage.settings('anna'), asked],
    );
  });
  after(() => stage?.close());

  /** What one side does to the records of these cells: a name, or a delete. */
  const write = (tab, cells, side, name) =>
    tab.evaluate(
      async ([all, at, value]) => {
        const { client } = globalThis.app;
        for (const { entity, kind } of all) {
          const [{ id }] = await client.query(entity);
          if (kind.split('-')[at] === 'delete') await client.delete(entity, id);
          else await client.update(entity, id, { name: value });
        }
      },
      [cells, side, name],
    );
  const names = (tab) =>
    tab.evaluate(async (entities) => {
      const found = await Promise.all(entities.map((entity) => globalThis.app.client.query(entity)));
      return found.map(([record]) => record?.name ?? 'none');
    }, Object.keys(SCHEMA.entities));

  test('what the table says stands', async () => {
    assert.equal(CELLS.length, 30);
    await there.evaluate(async (entities) => {
      for (const entity of entities) await globalThis.app.client.create(entity, { name: 'both' });
    }, Object.keys(SCHEMA.entities));
    await sync(there, here);
    const wrote = (when) => CELLS.filter((cell) => cell.wrote === when);
    await write(here, wrote('earlier'), 0, 'here');
    await write(there, wrote('later'), 1, 'there');
    await new Promise((resolve) => setTimeout(resolve, LATER_MS));
    await write(here, wrote('later'), 0, 'here');
    await write(there, wrote('earlier'), 1, 'there');
    await sync(there, here);

    const open = await here.evaluate(() => globalThis.app.client.conflicts.list());
    const met = CELLS.map(({ entity }) => open.filter((conflict) => conflict.entity === entity));
    assert.deepEqual(
      met.map((conflicts) => conflicts.map(({ kind, state }) => [kind, state])),
      CELLS.map(({ kind, stands }) => [[kind, stands === 'a person decides' ? 'open' : 'resolved']]),
    );
    // The person is for the local side where it is the later one, and else for the server's.
    for (const [at, { stands, wrote: when }] of CELLS.entries()) {
      if (stands !== 'a person decides') continue;
      await here.evaluate(
        ([conflict, how]) => globalThis.app.client.engine.resolveConflict(conflict, how),
        [met[at][0].id, when === 'later' ? 'client-wins' : 'server-wins'],
      );
    }
    await sync(here, there, here);
    const expected = CELLS.map(({ kind, stands, wrote: when }) => {
      if (stands === 'what it says') return 'function';
      const isLocal = stands === 'local' || (stands === 'a person decides' && when === 'later');
      const [side, name] = isLocal ? [0, 'here'] : [1, 'there'];
      return kind.split('-')[side] === 'delete' ? 'none' : name;
    });
    assert.deepEqual(await names(here), expected);
    assert.deepEqual(await names(there), expected);
    for (const tab of [here, there]) {
      assert.deepEqual(await tab.evaluate(() => globalThis.app.client.queue.list()), []);
    }
  });

  test('nothing broke in the pages', () => assert.deepEqual(troubles.flat(), []));
});
