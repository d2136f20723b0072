/** Every code that the package raises, in Rust or TypeScript, is declared, and explained to whoever meets it. */
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { test } from 'node:test';

const read = (path) => readFile(new URL(path, import.meta.url), 'utf8');

/** What the queue tells of an operation that waits, with these codes too: no call and no session fails with them. */
const REASONS_ONLY = ['deferred', 'dangling_reference', 'damaged'];
/** How Rust writes the code of an error down where it raises one, */
const IN_RUST = [
  /\b(?:EngineError|SyncError)::(?:new|with)\(\s*"(\w+)"/g,
  /\bcorrupt\(\s*"(\w+)"/g,
  /\bcode: "(\w+)"/g,
];
/** where it turns other errors into these, by calls and by pairs, */
const MAKES_ERRORS = /\bimpl\b.*\b(?:EngineError|SyncError) \{/;
const FIRST_OF_SEVERAL = /\(\s*"(\w+)",/g;
/** and where an error of a lower room has a code of its own. */
const CODES_OF_ENUM = /fn code\(&self\) -> &'static str \{(.*?)\n {4}\}/gs;
/** A code that none of these would find. */
const HIDDEN =
  /\b(?:EngineError|SyncError)::(?:new|with)\(\s*[^\s"].*|\bSyncError \{\s*code\b.*|\bStop::corrupt\(\s*[^\s"].*/g;
const IN_TYPESCRIPT = /\bnew FieldSyncError\(\s*(?:[\w?.]+ \?\? )?'(\w+)'/g;

const all = (text, pattern) => [...text.matchAll(pattern)].map(([whole, found]) => found ?? whole);

/** The sources of a folder, each without its own tests. */
async function sources(folder, ending) {
  const names = (await readdir(new URL(folder, import.meta.url), { recursive: true })).filter((name) =>
    name.endsWith(ending),
  );
  return Promise.all(
    names.map(async (name) => ({ name, text: (await read(folder + name)).split('#[cfg(test)]\nmod tests')[0] })),
  );
}

async function declared() {
  const [, union] = (await read('../src/errors.ts')).match(/export type ErrorCode =([^;]*);/);
  return all(union, /'(\w+)'/g);
}

test('docs/errors.md explains every code of ErrorCode, and no other', async () => {
  const codes = await declared();
  const rows = (await read('../../docs/errors.md')).split('\n').filter((line) => line.startsWith('| `'));
  const explained = rows.flatMap((row) => all(row.split('|')[1], /`(\w+)`/g));
  assert.ok(codes.length > 40, 'the type was read');
  assert.deepEqual(explained.toSorted(), codes.toSorted());
});

test('ErrorCode has every code that Rust or TypeScript raises, and no other', async () => {
  const rust = await sources('../../src/', '.rs');
  const typescript = await sources('../src/', '.ts');
  for (const { name, text } of rust)
    assert.deepEqual(all(text, HIDDEN), [], `src/${name} raises what is not read here`);
  const raised = new Set([
    ...rust.flatMap(({ text }) => [
      ...IN_RUST.flatMap((pattern) => all(text, pattern)),
      ...(MAKES_ERRORS.test(text) ? all(text, FIRST_OF_SEVERAL) : []),
      ...all(text, CODES_OF_ENUM).flatMap((body) => all(body, /"(\w+)"/g)),
    ]),
    ...typescript.flatMap(({ text }) => all(text, IN_TYPESCRIPT)),
  ]);
  for (const code of REASONS_ONLY) assert.ok(raised.delete(code), `${code} is raised no more`);
  assert.deepEqual([...raised].toSorted(), (await declared()).toSorted());
});
