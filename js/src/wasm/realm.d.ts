/**
 * Stands where the build will put the other glue (`pkg/dist/wasm/realm.js`): the same text, in which the names of the
 * platform's globals mean what `realm` has under them.
 */
import type { Glue, Guard } from '../boundary.js';

/** A glue for one instance, which finds nothing of its surroundings but what is in `realm`. */
export function makeGlue(guard: Guard, realm: Record<string, unknown>): Glue;
