/**
 * The recipes of docs/app-tests.md, taken out of it as they stand, run by Vitest and by Jest in Node against the packed
 * package; and what the world of `fieldsync/testing` promises beyond them.
 */
import assert from 'node:assert/strict';
import { readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { freshApp, MODULES, runScript } from './stand.mjs';

const guide = await readFile(new URL('../../docs/app-tests.md', import.meta.url), 'utf8');
const blocks = (language) =>
  [...guide.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(([, code]) => code);
const [clinic, tests, jestLine] = blocks('js');
const TESTS = [...tests.matchAll(/^test\('(.*)',/gm)].map(([, name]) => name);

/** The app of the guide, with its test file; gives what its runner printed. */
async function tried(name, testFile) {
  const app = await freshApp(name);
  // As an app has it: the packages beside its own package.json.
  await symlink(MODULES, join(app, 'node_modules'));
  await writeFile(join(app, 'clinic.js'), clinic);
  await writeFile(join(app, 'clinic.test.js'), testFile);
  return runScript(app, 'test', name === 'jest' ? ['--verbose'] : ['--reporter=verbose'], { NO_COLOR: '1' });
}

describe('docs/app-tests.md', { timeout: 300_000 }, () => {
  test('has its recipes', () => assert.ok(TESTS.length >= 5));

  for (const [runner, app, file] of [
    ['Vitest', 'vitest-node', tests],
    ['Jest', 'jest', tests.replace(/^import .* from 'vitest';\n/m, jestLine)],
  ]) {
    test(`with ${runner}`, async () => {
      assert.ok(file.includes(runner === 'Jest' ? '@jest/globals' : "from 'vitest'"));
      const printed = await tried(app, file);
      for (const name of TESTS) assert.match(printed, new RegExp(`✓.* ${name}`), `${runner} ran '${name}'`);
    });
  }

  test('the settings for Jest are those that the guide names', async () => {
    const [wanted] = blocks('json').map((text) => JSON.parse(text));
    const { type, scripts, jest } = JSON.parse(await readFile(join(await freshApp('jest'), 'package.json'), 'utf8'));
    assert.deepEqual({ type, scripts, jest }, wanted);
  });
});
