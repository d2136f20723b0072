/**
 * JSON Patch and JSON Merge Patch through the package: the published suite in a page, with the module that ships.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { openStage } from './support-stage.mjs';

const suite = async (name) => {
  const text = await readFile(new URL(`../vectors/json-patch/${name}`, import.meta.url), 'utf8');
  return JSON.parse(text).filter(({ disabled, patch }) => !disabled && patch !== undefined);
};

describe('patches', { timeout: 60_000 }, () => {
  let stage;
  let page;
  before(async () => {
    stage = await openStage();
    page = await (await stage.device()).tab('anna');
  });
  after(() => stage?.close());

  test('every case of the JSON Patch suite, and back by a patch of our own', async () => {
    const cases = [...(await suite('spec_tests.json')), ...(await suite('tests.json'))];
    assert.equal(cases.length, 108);
    const told = await page.evaluate((list) => {
      const { applyPatch, createPatch, deepEqual } = globalThis.app.fieldsync;
      return list.map(({ doc, patch, expected }) => {
        try {
          const done = applyPatch(doc, patch);
          const back = applyPatch(doc, createPatch(doc, done));
          return { is: expected === undefined || deepEqual(done, expected), back: deepEqual(done, back) };
        } catch ({ code, details }) {
          return { code, at: /^\/\d+$/.test(details.path) };
        }
      });
    }, cases);
    for (const [at, { error }] of cases.entries()) {
      const meant = error === undefined ? { is: true, back: true } : { code: 'patch_failed', at: true };
      assert.deepEqual(told[at], meant, JSON.stringify(cases[at]));
    }
  });

  test('a merge patch there and back, and one that cannot be', async () => {
    const told = await page.evaluate(() => {
      const { applyMergePatch, createMergePatch } = globalThis.app.fieldsync;
      const [from, to] = [
        { a: { b: 1, c: 2 }, l: [1] },
        { a: { b: 3 }, l: [null] },
      ];
      const patch = createMergePatch(from, to);
      const refused = () => {
        try {
          return createMergePatch({}, { a: { b: null } });
        } catch ({ code, details }) {
          return [code, details.path];
        }
      };
      return [patch, applyMergePatch(from, patch), refused()];
    });
    const [to, patch] = [
      { a: { b: 3 }, l: [null] },
      { a: { b: 3, c: null }, l: [null] },
    ];
    assert.deepEqual(told, [patch, to, ['patch_failed', '/a/b']]);
  });
});
