/** What may cross into the engine, and what is refused with its path instead of being lost in silence. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { runInNewContext } from 'node:vm';
import { changesText, idText, optionsText, recordText } from '../../pkg/dist/input.js';

const refused = (path, code = 'invalid_value') => ({
  name: 'FieldSyncError',
  code,
  details: { path },
  retryable: false,
});

describe('input', () => {
  const cyclic = { list: [{}] };
  cyclic.list[0].back = cyclic;
  class Money {
    amount = 1;
  }
  const sparse = [1];
  sparse[2] = 3;

  for (const [what, value, path] of [
    ['a function', { a: { b: () => 1 } }, '/a/b'],
    ['a symbol', { a: Symbol('s') }, '/a'],
    ['a BigInt', { a: [1n] }, '/a/0'],
    ['NaN', { a: Number.NaN }, '/a'],
    ['Infinity', { a: [0, Number.NEGATIVE_INFINITY] }, '/a/1'],
    ['undefined in a list', { a: [undefined] }, '/a/0'],
    ['a hole in a list', { a: sparse }, '/a/1'],
    ['a Map', { a: new Map([[1, 2]]) }, '/a'],
    ['a Set', { a: new Set() }, '/a'],
    ['a class instance', { a: new Money() }, '/a'],
    ['bytes', { a: new Uint8Array(2) }, '/a'],
    ['a promise', { a: Promise.resolve(1) }, '/a'],
    ['an invalid Date', { a: new Date('no date') }, '/a'],
    ['half of a surrogate pair', { a: '\ud800' }, '/a'],
    ['a cycle', cyclic, '/list/0/back'],
    ['a name that needs escaping', { 'a/b~c': Number.NaN }, '/a~1b~0c'],
  ]) {
    test(`${what} is refused with its path`, () => assert.throws(() => recordText(value), refused(path)));
  }

  test('nesting that would exhaust the stack is refused, not a crash', () => {
    let deep = {};
    for (let i = 0; i < 100_000; i++) deep = { deep };
    assert.throws(() => recordText(deep), { code: 'too_deep' });
  });

  test('what JSON holds passes unchanged', () => {
    const value = { a: [1, -0.5, 'é😀', true, null, {}], b: { c: [] } };
    assert.deepEqual(JSON.parse(recordText(value)), value);
  });

  test('the same value twice is no cycle', () => {
    const shared = { x: 1 };
    assert.deepEqual(JSON.parse(recordText({ a: shared, b: [shared, shared] })), {
      a: shared,
      b: [shared, shared],
    });
  });

  test('a Date becomes its ISO string', () => {
    assert.equal(recordText({ at: new Date(0) }), '{"at":"1970-01-01T00:00:00.000Z"}');
  });

  test('an object literal of another realm is an object literal', () => {
    assert.equal(recordText(runInNewContext('({ a: [1, { b: 2 }] })')), '{"a":[1,{"b":2}]}');
  });

  test('a member named __proto__ stays data', () => {
    const text = changesText(JSON.parse('{"__proto__": {"polluted": true}}'));
    assert.equal(text, '{"set":{"__proto__":{"polluted":true}},"unset":[]}');
    assert.equal({}.polluted, undefined);
  });

  test('undefined fields: absent in a record, taken away by an update', () => {
    assert.equal(recordText({ a: 1, b: undefined }), '{"a":1}');
    assert.equal(changesText({ a: 1, b: undefined }), '{"set":{"a":1},"unset":["b"]}');
  });

  test('the marks of FieldSync do not come back in', () => {
    assert.equal(recordText({ a: 1, _sync: { version: '3' } }), '{"a":1}');
    assert.equal(changesText({ a: 1, _sync: { version: '3' } }), '{"set":{"a":1},"unset":[]}');
  });

  test('a condition that is undefined is refused, it would match everything', () => {
    const query = { where: { petId: undefined } };
    assert.throws(() => optionsText(query, 'invalid_query', 'where'), refused('where.petId', 'invalid_query'));
    assert.equal(optionsText({ limit: undefined }, 'invalid_query', 'where'), '{}');
  });

  for (const record of [null, undefined, 'text', 7, [1], new Map()]) {
    test(`a record is an object, not ${record === null ? 'null' : typeof record}`, () =>
      assert.throws(() => recordText(record), refused('')));
  }

  test('an ID is text or a finite number', () => {
    assert.equal(idText(12), '12');
    assert.equal(idText('12'), '"12"');
    for (const id of ['', null, undefined, Number.NaN, {}, [], true, 1n]) {
      assert.throws(() => idText(id), refused('id'));
    }
  });
});
