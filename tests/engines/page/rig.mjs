/**
 * Runs the cases of the contract module in whatever realm loads this: a window, a worker or a service worker. Loading
 * it starts nothing; in a service worker, nothing may be awaited then.
 */
import './plant.mjs';
import init, { cases, run, tellPanics } from '/contract/fieldsync_contract.js';

let ready;
let fail = () => {};
/** Called by the module when it panics: its own promise never settles then, and the instance is dead. */
globalThis.contractPanicked = (message) => fail(new Error(message));

/**
 * Answers `{ list: true }` with the names of the cases, and `{ run: name }` with `{}` or `{ broken }`. With `limitMs`, a
 * case that has not ended by then is broken.
 */
export async function answer(message) {
  ready ??= init().then(tellPanics);
  await ready;
  if (message.list) return { names: cases() };
  const panic = new Promise((_, reject) => {
    fail = reject;
  });
  if (message.limitMs) setTimeout(() => fail(new Error('it does not end')), message.limitMs);
  try {
    await Promise.race([run(message.run), panic]);
    return {};
  } catch (cause) {
    return { broken: String(cause?.message ?? cause) };
  }
}
