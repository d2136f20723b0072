/**
 * Every case of the contracts, in every engine, in a window, a dedicated worker and a service worker. What was seen is
 * compared with the table in docs/browsers.md: a difference between engines is written down, or it is a fault.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { required } from '../environment.mjs';
import { openStage, serveFolders } from '../replay/stage.mjs';
import { compareTable, openTable } from '../table.mjs';
import { ENGINES, startEngine } from './drivers.mjs';

const CONTEXTS = ['window', 'worker', 'service-worker'];
const table = openTable('promise');

/** Mistakes that `page/plant.mjs` can make, the case that must notice each, and by what. */
const PLANTS = {
  relaxed: ['indexeddb/what_is_strict_is_asked_for_strictly_and_what_is_relaxed_is_not', /strict\/relaxed/],
  abort: ['hard_days/an_aborted_commit_is_an_error_and_leaves_nothing', /Ok\(\(\)\)/],
  checkpoint: ['hard_days/an_aborted_commit_is_an_error_and_leaves_nothing', /left: \(Ok\(true\)/],
  late: ['hard_days/a_connection_that_was_closed_is_opened_again', /it does not end/],
};
/** Long for a case. */
const CASE_LIMIT_MS = 3_000;

for (const name of ENGINES) {
  describe(`contracts in ${name}`, { timeout: 600_000 }, () => {
    let stage;
    let engine;
    let address;

    before(async () => {
      stage = await openStage();
      const contract = required('FIELDSYNC_CONTRACT');
      const pages = fileURLToPath(new URL('page', import.meta.url));
      ({ address } = await serveFolders(stage, { '/contract/': contract, '/': pages }));
      engine = await startEngine(stage, name);
    });
    after(() => stage?.close());

    for (const [plant, [run, sign]] of Object.entries(PLANTS)) {
      test(`the planted mistake '${plant}' is caught`, async () => {
        const page = await engine.open(`${address}/?plant=${plant}`);
        const { broken } = await page.call('rig.ask', 'window', { run, limitMs: CASE_LIMIT_MS });
        // What else breaks by it is of no interest.
        await engine.troubles();
        await page.close();
        assert.match(broken, sign);
      });
    }

    for (const context of CONTEXTS) {
      test(`in a ${context}`, async (t) => {
        let page = await engine.open(address);
        const { names } = await page.call('rig.ask', context, { list: true });
        assert.ok(names.length > 0);
        for (const promise of names) {
          await t.test(promise, async () => {
            const answer = await page.call('rig.ask', context, { run: promise });
            const broken = [answer.broken ?? [], await engine.troubles()].flat().join('\n') || undefined;
            table.set(inWords(promise), `${name}, ${context}`, broken === undefined ? 'kept' : '**broken**');
            if (broken === undefined) return;
            // The instance is dead: the next case gets a new page.
            await page.close();
            page = await engine.open(address);
            assert.fail(broken);
          });
        }
        await page.close();
      });
    }
  });
}

test('docs/browsers.md tells of every promise in every engine', () =>
  compareTable('docs/browsers.md', 'contracts', table.text()));

/** A test's name as a sentence. */
function inWords(promise) {
  const [group, words] = promise.split('/');
  return `${group}: ${words.replaceAll('_', ' ')}`;
}
