/** Every code that the package raises is explained to whoever meets it. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

const read = (path) => readFile(new URL(path, import.meta.url), 'utf8');

test('docs/errors.md explains every code of ErrorCode, and no other', async () => {
  const [, union] = (await read('../src/errors.ts')).match(/export type ErrorCode =([^;]*);/);
  const declared = [...union.matchAll(/'(\w+)'/g)].map(([, code]) => code);
  const rows = (await read('../../docs/errors.md')).split('\n').filter((line) => line.startsWith('| `'));
  const explained = rows.flatMap((row) => [...row.split('|')[1].matchAll(/`(\w+)`/g)].map(([, code]) => code));
  assert.ok(declared.length > 40, 'the type was read');
  assert.deepEqual(explained.toSorted(), declared.toSorted());
});
