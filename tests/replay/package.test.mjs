/**
 * The packed package: its files, and that a plain page with nothing but an import map can load and run it.
 *
 * The module must be run, not only validated: an optimiser that is too old leaves a file that every validator accepts
 * and that breaks as soon as it starts.
 */
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { openDevice, openStage, servePage } from './stage.mjs';

let stage;
let site;
before(async () => {
  stage = await openStage();
  site = await servePage(stage);
});
after(() => stage.close());

test('the tarball holds what is exported, one module, and nothing else', async () => {
  const files = (await readdir(site.unpacked, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`.slice(site.unpacked.length + 1))
    .sort();
  assert.deepEqual(
    files.filter((file) => file.endsWith('.wasm')),
    ['dist/wasm/fieldsync_bg.wasm'],
  );
  for (const file of ['package.json', 'README.md', 'LICENSE-MIT', 'LICENSE-APACHE', 'dist/wasm/fieldsync.js']) {
    assert.ok(files.includes(file), `${file} is missing`);
  }
  const stray = files.filter((file) => file.startsWith('dist/') && !/\.(js|d\.ts|wasm)$/.test(file));
  assert.deepEqual(stray, [], 'only code and declarations are shipped');

  const manifest = JSON.parse(await readFile(`${site.unpacked}/package.json`, 'utf8'));
  const exported = Object.values(manifest.exports).flatMap((entry) =>
    typeof entry === 'string' ? [entry] : Object.values(entry),
  );
  for (const file of exported) assert.ok(files.includes(file.slice(2)), `${file} is exported and not there`);
  assert.equal(manifest.dependencies, undefined, 'the package depends on nothing');
});

test('importing it in node does nothing and fails at nothing', async () => {
  const { isTempId } = await import(`${site.unpacked}/dist/index.js`);
  assert.equal(isTempId('temp_1_abcdefghabcdefgh_pet'), true);
  const { installFieldSync } = await import(`${site.unpacked}/dist/service-worker.js`);
  assert.equal(typeof installFieldSync, 'function');
});

test('a plain page loads the module and runs it', async () => {
  const { page, troubles } = await openDevice(stage, site.address);
  const merged = await page.evaluate(async () => {
    const { fieldsync } = globalThis.replay;
    await fieldsync.init();
    return {
      equal: fieldsync.deepEqual({ a: 1, b: [1.0] }, { b: [1], a: 1 }),
      different: fieldsync.deepEqual({ a: 1 }, { a: '1' }),
      hash: await fieldsync.hashData({ b: 1, a: 'ä' }),
    };
  });
  assert.equal(merged.equal, true);
  assert.equal(merged.different, false);
  const { createHash } = await import('node:crypto');
  assert.equal(merged.hash, createHash('sha256').update('{"a":"ä","b":1}').digest('hex'));
  assert.deepEqual(troubles, []);
});
