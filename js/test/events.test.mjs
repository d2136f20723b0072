/** Listeners are foreign code: what one of them does is no concern of the others. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { Events } from '../../pkg/dist/events.js';

describe('events', () => {
  let reported;
  beforeEach(() => {
    reported = [];
    globalThis.reportError = (cause) => reported.push(cause);
  });
  afterEach(() => {
    delete globalThis.reportError;
  });

  test('a listener gets its kind of event only, until it is taken off', () => {
    const events = new Events();
    const seen = [];
    const stop = events.on('conflict', (event) => seen.push(event.id));
    events.deliver({ type: 'conflict', id: 1 });
    events.deliver({ type: 'queue' });
    stop();
    stop();
    events.deliver({ type: 'conflict', id: 2 });
    assert.deepEqual(seen, [1]);
  });

  test('a listener that throws is reported and stops nobody else', () => {
    const events = new Events();
    const seen = [];
    events.on('queue', () => {
      throw new Error('mine');
    });
    events.on('queue', () => seen.push('second'));
    events.deliver({ type: 'queue' });
    assert.deepEqual(seen, ['second']);
    assert.equal(reported[0].message, 'mine');
  });

  test('listeners may come and go during delivery', () => {
    const events = new Events();
    const seen = [];
    const stop = events.on('queue', () => {
      seen.push('first');
      stop();
      events.on('queue', () => seen.push('late'));
    });
    events.on('queue', () => seen.push('second'));
    events.deliver({ type: 'queue' });
    assert.deepEqual(seen, ['first', 'second']);
    events.deliver({ type: 'queue' });
    assert.deepEqual(seen, ['first', 'second', 'second', 'late']);
  });

  test('the same function twice is called twice and taken off one at a time', () => {
    const events = new Events();
    let calls = 0;
    const listener = () => calls++;
    const stop = events.on('queue', listener);
    events.on('queue', listener);
    events.deliver({ type: 'queue' });
    stop();
    events.deliver({ type: 'queue' });
    assert.equal(calls, 3);
  });
});
