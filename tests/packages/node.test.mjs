/** The packed package in Node: importing it touches nothing, and with the bytes of its module it computes. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { freshApp, PACKAGE } from './stand.mjs';

const UNTOUCHED = new URL('untouched.mjs', import.meta.url).pathname;
const HASH = createHash('sha256').update('{"a":"ä","b":1}').digest('hex');

/** Runs a program in a Node of its own, and gives what it has printed. */
async function printed(...args) {
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout);
}

test('importing the package touches nothing of the world and leaves nothing behind', async () => {
  const entry = pathToFileURL(join(PACKAGE, 'dist/index.js')).href;
  assert.deepEqual(await printed(UNTOUCHED, entry), { touched: [], left: [], running: [] });
});

test('what does touch something is seen, so that the test above can fail', async () => {
  const busy = 'globalThis.mine = 1; if (typeof indexedDB === "undefined") fetch; setInterval(() => {}, 1e9);';
  const { touched, left, running } = await printed(UNTOUCHED, `data:text/javascript,${encodeURIComponent(busy)}`);
  assert.deepEqual(touched, ['fetch', 'indexedDB', 'setInterval']);
  assert.deepEqual(left, ['mine']);
  assert.deepEqual(running, ['Timeout']);
});

test('with the bytes of its module, the pure functions run', async () => {
  assert.deepEqual(await printed(join(await freshApp('node'), 'pure.mjs')), {
    equal: true,
    difference: { set: { '/c': 3 }, unset: ['/b'] },
    merged: { a: 2, b: 3 },
    hash: HASH,
    open: 'storage_unavailable',
  });
});

test('CommonJS can require it', async () => {
  assert.deepEqual(await printed(join(await freshApp('node', 'node-cjs'), 'pure.cjs')), { hash: HASH });
});

test('the file of the module is named once, where bundlers look for it', async () => {
  const named = [];
  for (const entry of await readdir(PACKAGE, { recursive: true, withFileTypes: true })) {
    if (!entry.name.endsWith('.js')) continue;
    const text = await readFile(join(entry.parentPath, entry.name), 'utf8');
    // A second one is a second file to a bundler that does not compare contents.
    for (const [line] of text.matchAll(/.*new URL\(.*import\.meta\.url.*/g))
      named.push(`${entry.name}: ${line.trim()}`);
  }
  assert.equal(named.length, 1, named.join('\n'));
  assert.match(named[0], /^load\.js: .*new URL\('\.\/wasm\/fieldsync_bg\.wasm', import\.meta\.url\)/);
});
