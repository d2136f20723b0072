/** The module lies beside the script, as a file of its own: what is copied to the site's root is fetched from there. */
import { init } from 'fieldsync';
import { keepNotes } from './keep-notes.js';

init({ wasm: '/fieldsync.wasm' }).then(keepNotes);
