/**
 * The tables in docs: each lies between two marks, is made from what a run has seen, and must be what it was.
 * `FIELDSYNC_WRITE_TABLES=1` writes them anew.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

/** A table that fills while tests run: `set(row, column, value)`. Rows and columns stand in the order of their first value. */
export function openTable(first) {
  const rows = new Map();
  const columns = new Set();
  const set = (row, column, value) => {
    columns.add(column);
    if (!rows.has(row)) rows.set(row, new Map());
    rows.get(row).set(column, value);
  };
  const text = () => {
    const line = (cells) => `| ${cells.join(' | ')} |`;
    const head = [line([first, ...columns]), line(Array(columns.size + 1).fill('---'))];
    const body = [...rows].map(([row, cells]) => line([row, ...[...columns].map((column) => cells.get(column) ?? '')]));
    return [...head, ...body].join('\n');
  };
  return { set, text };
}

/** Fails unless the document, `docs/browsers.md` for instance, has this table under this name. */
export async function compareTable(document, name, text) {
  const file = fileURLToPath(new URL(`../${document}`, import.meta.url));
  const whole = await readFile(file, 'utf8');
  const [begin, end] = [`<!-- table: ${name} -->\n`, `\n<!-- end of table: ${name} -->`];
  const [before, rest] = whole.split(begin);
  const [present, after] = rest?.split(end) ?? [];
  assert.notEqual(after, undefined, `${document} has no table '${name}'`);
  if (process.env.FIELDSYNC_WRITE_TABLES === '1') await writeFile(file, before + begin + text + end + after);
  else
    assert.equal(
      present,
      text,
      `${document}: the table '${name}' tells something else; FIELDSYNC_WRITE_TABLES=1 writes it anew`,
    );
}
