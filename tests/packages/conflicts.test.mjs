/**
 * The code of docs/conflicts.md, taken out of it as it stands, on devices of `fieldsync/testing`. Each of the examples'
 * `console.log` lines carries what it prints.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { PACKAGE } from './stand.mjs';

const from = (file) => import(pathToFileURL(join(PACKAGE, 'dist', file)));
const { createTestWorld } = await from('testing/index.js');
const { merge } = await from('index.js');

const page = await readFile(new URL('../../docs/conflicts.md', import.meta.url), 'utf8');
const [, section] = page.split('## Three examples\n');
const EXAMPLES = section
  .split('\n## ')[0]
  .split(/^### /m)
  .slice(1)
  .map((text) => ({
    heading: text.split('\n', 1)[0],
    schema: JSON.parse(blocks(text, 'json')[0]),
    code: blocks(text, 'js'),
  }));

/** What both devices have at first, by entity: what the first comment of each example says. */
const RECORDS = {
  pet: { name: 'Rex', dose: 2, weight: 12, allergies: ['penicillin'] },
  visit: { urgency: 1, room: 1 },
  product: { stock: 10 },
  order: { number: 41, lines: [{ id: 'a', item: 'tea', count: 1 }] },
  sheet: {
    ...{ answers: { smoker: 'no' }, remarks: 'Friendly.\nWas late.\nHas a dog.' },
    ...{ updatedAt: 1, updatedBy: 'eva' },
  },
};

describe('docs/conflicts.md', { timeout: 60_000 }, () => {
  let world;
  afterEach(() => world?.close());

  test('has its examples, and says what their records are', () => {
    assert.deepEqual(
      EXAMPLES.map(({ heading }) => heading),
      ['A clinic', 'A till', 'A survey'],
    );
    for (const { schema, code } of EXAMPLES) {
      const [, said] = code.at(-1).match(/^\/\/ Both have (.*)\.$/m);
      const records = said.split(' and ').map((text) => new Function(`return (${text})`)());
      const declared = Object.keys(schema.entities).map((entity) => RECORDS[entity]);
      assert.deepEqual(records, declared);
    }
  });

  for (const { heading, schema, code } of EXAMPLES) {
    test(heading, async () => {
      world = await createTestWorld({ schema, now: 1_800_000_000_000 });
      const rules = code.length > 1 ? new Function('merge', `${code[0]}\nreturn rules;`)(merge) : {};
      const [there, here] = [world.device(), world.device()];
      // The functions of the package are those of the page, and this is where it is.
      there.use();
      const [phone, desk] = [await there.open({ rules }), await here.open({ user: 'ben', rules })];
      const ids = {};
      for (const entity of Object.keys(schema.entities)) ids[entity] = world.server.put(entity, RECORDS[entity]);
      const everybodySyncs = async () => {
        for (const db of [phone, desk, phone]) assert.equal((await db.engine.sync()).success, true);
      };
      await everybodySyncs();
      const lines = await printed(code.at(-1), {
        ...{ phone, desk, everybodySyncs },
        ...ids,
        aSecond: () => world.clock.advance(1_000),
      });
      assert.deepEqual(lines, promised(code.at(-1)));
      for (const db of [phone, desk]) assert.deepEqual(await db.queue.list(), []);
    });
  }

  test('A person decides', async () => {
    const [, text] = page.split('### A person decides\n');
    const [code] = blocks(text.split('\n## ')[0], 'js');
    const schema = { name: 'clinic', version: 1, entities: { pet: { conflicts: { fields: { dose: 'manual' } } } } };
    for (const [button, dose] of Object.entries({ here: 3, there: 4, both: 4 })) {
      world = await createTestWorld({ schema });
      const [here, there] = [world.device(), world.device()];
      here.use();
      const [client, other] = [await here.open(), await there.open({ user: 'ben' })];
      const pet = world.server.put('pet', { name: 'Rex', dose: 2 });
      for (const db of [client, other]) await db.engine.sync();
      await client.update('pet', pet, { dose: 3 });
      await other.update('pet', pet, { dose: 4 });
      for (const db of [other, client]) await db.engine.sync();
      const [drawn, said] = [[], []];
      const names = { client, draw: (items) => drawn.push(items), say: (code) => said.push(code) };
      const press = `const { conflict } = drawn[0][0];\nawait buttons.${button}(conflict);\nawait decide(conflict, 'client-wins');`;
      await printed(`${code}\n${press}`, { ...names, drawn });
      const [{ conflict, ...item }] = drawn[0];
      const fields = [{ path: 'dose', here: 3, there: 4 }];
      const expected = { kind: 'update-update', entity: 'pet', recordId: pet, fields, isDeletedHere: false };
      assert.deepEqual([item, drawn.at(-1), said], [expected, [], ['unknown_conflict']], 'it was decided once');
      assert.equal(conflict.state, 'open');
      await client.engine.sync();
      assert.equal(world.server.records('pet')[0].dose, dose, button);
      await world.close();
    }
  });
});

/** What a piece of code prints with these names. */
async function printed(code, names) {
  const lines = [];
  const console = { log: (...values) => lines.push(values.join(' ')) };
  const all = { ...names, console };
  await new Function(...Object.keys(all), `return (async () => {\n${code}\n})();`)(...Object.values(all));
  return lines;
}

function promised(code) {
  const lines = [...code.matchAll(/^console\.log\(.*\); \/\/ (.*)$/gm)].map(([, text]) => text);
  assert.ok(lines.length > 0);
  return lines;
}

/** The code blocks of this language. */
function blocks(text, language) {
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(([, code]) => code);
}
