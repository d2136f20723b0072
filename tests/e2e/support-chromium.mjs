/**
 * A browser that may be killed: started here, with its profile on the disk, so that all its processes are known.
 *
 * Every process of it writes to the pipe that this one holds, so the end of that pipe is the end of the last of them.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';
import { CHROMIUM_FLAGS, required } from '../environment.mjs';

const START_LIMIT_MS = 60_000;

/** Starts a browser on a profile. `kill` is a SIGKILL to all its processes at once. */
export async function startBrowser(stage, profile) {
  const args = [
    ...CHROMIUM_FLAGS,
    ...['--headless=new', '--no-first-run', '--no-default-browser-check', '--disable-breakpad'],
    ...['--remote-debugging-port=0', `--user-data-dir=${profile}`, 'about:blank'],
  ];
  // Detached: a process group of its own, so that one signal reaches all of it and nothing else.
  const child = spawn(required('FIELDSYNC_CHROMIUM'), args, { detached: true, stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(child, 'close');
  let alive = true;
  const kill = async () => {
    if (!alive) return;
    alive = false;
    process.kill(-child.pid, 'SIGKILL');
    await ended;
  };
  stage.onClose(kill);
  const endpoint = await new Promise((resolve, reject) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      const match = /DevTools listening on (ws:\S+)/.exec(line);
      if (match) resolve(match[1]);
    });
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`the browser ended with ${code} before it could be driven`)));
    const limit = AbortSignal.timeout(START_LIMIT_MS);
    limit.addEventListener('abort', () => reject(new Error('the browser did not say where it listens')));
  });
  const browser = await chromium.connectOverCDP(endpoint);
  return { context: browser.contexts()[0], kill };
}
