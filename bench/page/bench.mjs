/**
 * The page's side of the bench: the same job for each side. Times are taken here, where no remote control is in between.
 * Every job runs in databases of its own.
 */
import './counting.mjs';
import * as conflicts from './conflicts.mjs';
import * as functions from './functions.mjs';
import * as fieldsync from './ours.mjs';
import * as raw from './raw.mjs';
import * as trail from './trail.mjs';

const sides = { fieldsync: { ...fieldsync, ...conflicts, ...trail, ...functions }, raw };

globalThis.bench = {
  setup: (given) => fieldsync.setup(given),
  /** Brings a peer into the page before anything is timed. */
  load: async (name) => {
    sides[name] ??= await import(`/peers/${name}.js`);
  },
  run: (name, job, options) => sides[name][job](options),
};
document.documentElement.dataset.ready = 'yes';
