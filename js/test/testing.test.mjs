/** A world of `fieldsync/testing` where an app lacks what it needs. That of one that has it all is in tests/packages. */
import assert from 'node:assert/strict';
import { register } from 'node:module';
import { test } from 'node:test';

// The glue of the wasm module is built elsewhere and later; the library is as in an app that has not installed it.
const hooks = `export async function resolve(specifier, context, next) {
  if (specifier === 'fake-indexeddb') throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' });
  if (!/[/]wasm[/](fieldsync|realm)[.]js$/.test(specifier)) return next(specifier, context);
  return { url: 'data:text/javascript,export const makeGlue = () => ({})', shortCircuit: true };
}`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);

test('without its storage a world names the package that is to be installed', async () => {
  const { createTestWorld } = await import('../../pkg/dist/testing/index.js');
  const world = createTestWorld({ schema: { name: 'clinic', version: 1, entities: {} } });
  await assert.rejects(world, (error) => {
    assert.equal(error.code, 'not_initialized');
    assert.match(error.message, /npm install --save-dev fake-indexeddb$/);
    assert.equal(error.cause.code, 'ERR_MODULE_NOT_FOUND');
    return true;
  });
});
