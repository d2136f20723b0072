/** isTempId needs no wasm, and importing its file loads none. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { entityOfTempId, isTempId } from '../../pkg/dist/temp-ids.js';

describe('temp IDs', () => {
  for (const id of ['temp_1763700000000_k3jq7p2m5n8r1s4t_pet', 'temp_1_a_pet', 'temp_1763700000000_ab12_line_item']) {
    test(`${id} is one`, () => assert.equal(isTempId(id), true));
  }
  for (const id of [
    12,
    '12',
    '',
    'temp',
    'temp_',
    'temp_x_ab_pet',
    'temp_1__pet',
    'temp_1_ab_',
    'xtemp_1_ab_pet',
    null,
  ]) {
    test(`${JSON.stringify(id)} is none`, () => assert.equal(isTempId(id), false));
  }
  test('the entity is all after the third underscore', () => {
    assert.equal(entityOfTempId('temp_1763700000000_ab12_line_item'), 'line_item');
    assert.equal(entityOfTempId(5), undefined);
  });
});
