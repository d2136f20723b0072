/** The module lies in the script: one file, which a service worker's browser stores whole. It is a third larger. */
import { initSync } from 'fieldsync';
import wasm from 'fieldsync/fieldsync.wasm';
import { keepNotes } from './keep-notes.js';

initSync(wasm);
keepNotes();
