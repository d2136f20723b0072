/**
 * The recipes of docs/guide.md, taken out of it as they stand: each with a user of its own, in a page against the real
 * server that knows the guide's schema. Each of their `console.log` lines carries what it prints.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { openStage } from './support-stage.mjs';

const guide = await readFile(new URL('../../docs/guide.md', import.meta.url), 'utf8');
const [opening, recipes] = guide.split('## 6. Recipes');
const [SCHEMA] = blocks(opening, 'json').map((text) => JSON.parse(text));

/** Heading and code of each recipe. */
const RECIPES = recipes
  .split('## 7.')[0]
  .split(/^### /m)
  .slice(1)
  .map((text) => [text.split('\n', 1)[0], blocks(text, 'js')])
  .filter(([, code]) => code.length > 0);
const MOVING = 'Moving unsent work to another device';

describe('docs/guide.md', { timeout: 120_000 }, () => {
  let stage;

  before(async () => {
    stage = await openStage({ schema: SCHEMA });
  });
  after(() => stage?.close());

  const device = async (user) => (await stage.device()).tab(user, { autoSync: true });

  test('there is a recipe for each of the calls', () => {
    const code = RECIPES.flatMap(([, parts]) => parts).join('\n');
    const calls = ['transaction', 'queue.edit', 'queue.discard', 'queue.export', 'queue.import', 'wipe'];
    const sessions = ['pause', 'resume', 'syncEntityType', 'processSyncBatch'].map((call) => `engine.${call}`);
    for (const call of [...calls, ...sessions]) assert.ok(code.includes(`db.${call}(`), call);
  });

  for (const [at, [heading, parts]] of RECIPES.entries()) {
    if (heading === MOVING) continue;
    test(heading, async () => {
      const page = await device(`user ${at}`);
      for (const code of parts) assert.deepEqual(await printed(page, code), promised(code));
    });
  }

  test(MOVING, async () => {
    const [, [there, here]] = RECIPES.find(([heading]) => heading === MOVING);
    const [old, fresh] = [await device('mover'), await device('mover')];
    assert.deepEqual(await printed(old, `${there}\nglobalThis.text = text;`), promised(there));
    const text = await old.evaluate(() => globalThis.text);
    const file = `const file = new File([${JSON.stringify(text)}], 'unsent.json');`;
    // The other device may have sent nothing of its own meanwhile: it waits for what is brought.
    await fresh.evaluate(() => globalThis.app.settled());
    assert.deepEqual(await printed(fresh, `${file}\n${here}`), promised(here));
  });

  test('the schema with lanes is one that a client takes', async () => {
    const [lanes] = blocks(recipes, 'json').map((text) => JSON.parse(text));
    const page = await (await stage.device()).tab('lanes', { schema: lanes });
    const order = await page.evaluate(async () => {
      const { client } = globalThis.app;
      await client.create('pet', { name: 'Rex' });
      await client.create('visit', { reason: 'Vaccination' });
      await client.create('invoice', { amount: '10.00' });
      return (await client.queue.list()).map(({ entity, lane }) => [entity, lane]);
    });
    assert.deepEqual(order, [
      ['pet', null],
      ['visit', 'visits'],
      ['invoice', 'invoices'],
    ]);
  });
});

/** What a piece of code prints when it is run with the page's client. */
async function printed(page, code) {
  return page.evaluate(async (body) => {
    const lines = [];
    const log = (...values) => lines.push(values.join(' '));
    const run = new Function('db', 'console', `return (async () => {\n${body}\n})();`);
    await run(globalThis.app.client, { log });
    return lines;
  }, code);
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
