/**
 * Stands where the build will put the glue (`pkg/dist/wasm/fieldsync.js`), so that the client compiles without it and
 * against the hand-written boundary.
 */
import type { Glue, Guard } from '../boundary.js';

/** A glue for one instance. It works with what `guard` makes of the exports. */
export function makeGlue(guard: Guard): Glue;
