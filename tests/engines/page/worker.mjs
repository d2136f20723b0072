/** A dedicated worker that runs cases. */
import { answer } from './rig.mjs';

self.addEventListener('message', async ({ data }) => self.postMessage(await answer(data)));
