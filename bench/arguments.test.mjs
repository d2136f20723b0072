/** What cannot be asked of the bench is told in one sentence, before anything is built. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { JOBS, PEERS, parse } from './arguments.mjs';

for (const [line, sentence] of [
  ['--rounds abc', /^--rounds takes a whole number from 1, not 'abc'$/],
  ['--rounds 0', /--rounds takes/],
  ['--browser opera', /^--browser takes one of chromium, firefox$/],
  ['--jobs save,fly', /^--jobs knows .*, not 'fly'$/],
  ['--only dexie', /^--only dexie: other libraries need --beside$/],
  ['--beside --only dexy', /^--only knows .*, not 'dexy'$/],
  ['--quik', /--quik/],
]) {
  test(`refused: ${line}`, () => {
    assert.throws(
      () => parse(line.split(' ')),
      (error) => sentence.test(error.message) && !error.message.includes('\n'),
    );
  });
}

test('what is left out has its default', () => {
  assert.deepEqual([parse([]).rounds, parse(['--quick']).rounds], [5, 2]);
  assert.deepEqual([parse([]).jobs, parse([]).sides], [JOBS, ['fieldsync']]);
  assert.deepEqual(parse(['--beside']).sides, ['fieldsync', ...PEERS]);
  assert.deepEqual(parse(['--beside', '--only', 'dexie,rxdb']).sides, ['dexie', 'rxdb']);
});
