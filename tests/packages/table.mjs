/**
 * The tables in docs/packages.md: each lies between two marks, is made from what a run has seen, and must be what it
 * was. `FIELDSYNC_WRITE_TABLES=1` writes them anew.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const DOCUMENT = fileURLToPath(new URL('../../docs/packages.md', import.meta.url));

/** Fails unless docs/packages.md has this table under this name. */
export async function compareTable(name, text) {
  const document = await readFile(DOCUMENT, 'utf8');
  const [begin, end] = [`<!-- table: ${name} -->\n`, `\n<!-- end of table: ${name} -->`];
  const [before, rest] = document.split(begin);
  const [present, after] = rest?.split(end) ?? [];
  assert.notEqual(after, undefined, `docs/packages.md has no table '${name}'`);
  if (process.env.FIELDSYNC_WRITE_TABLES === '1') await writeFile(DOCUMENT, before + begin + text + end + after);
  else assert.equal(present, text, `docs/packages.md: '${name}' differs; FIELDSYNC_WRITE_TABLES=1 writes it anew`);
}
