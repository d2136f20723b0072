/**
 * The stage for tests of the clinic: the server on a database of its own, the app's production build in front of it,
 * and a browser. Whoever opens a stage closes it; then nothing is left running and nothing on the disk.
 *
 * What was built comes from the environment: FIELDSYNC_SERVER_BIN, FIELDSYNC_CHROMIUM; `www` holds its build.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { hearTroubles, LAUNCH, required } from '../environment.mjs';

const WWW = fileURLToPath(new URL('../../www', import.meta.url));
const START_LIMIT_MS = 60_000;

export async function openStage() {
  const folder = await mkdtemp(join(tmpdir(), 'clinic-'));
  const keyFile = join(folder, 'key');
  await writeFile(keyFile, randomBytes(32).toString('hex'), { mode: 0o600 });
  const open = [];
  const close = async () => {
    for (const stop of open.reverse()) await stop();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const server = await started(
      required('FIELDSYNC_SERVER_BIN'),
      [
        'serve',
        ...['--database', join(folder, 'clinic.sqlite')],
        ...['--schema', join(WWW, 'clinic.schema.json')],
        ...['--listen', '127.0.0.1:0', '--key-file', keyFile],
      ],
      {},
      /listening on (http:\S+)/,
    );
    open.push(server.stop);
    const app = await started(
      process.execPath,
      [join(WWW, 'node_modules/next/dist/bin/next'), 'start', WWW, '--hostname', '127.0.0.1', '--port', '0'],
      { FIELDSYNC_SERVER: server.found, FIELDSYNC_KEY_FILE: keyFile, NEXT_TELEMETRY_DISABLED: '1' },
      /Local:\s+(http:\S+)/,
    );
    open.push(app.stop);
    const browser = await chromium.launch(LAUNCH.chromium());
    open.push(() => browser.close());
    return { address: app.found, device: () => newDevice(browser, app.found), close };
  } catch (cause) {
    await close();
    throw cause;
  }
}

/** A browser profile of its own, with the clinic open in one tab. */
async function newDevice(browser, address) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const uploads = [];
  const troubles = [];
  page.on('request', (request) => {
    if (request.url().endsWith('/api/v1/sync/upload')) uploads.push(request.postDataJSON());
  });
  hearTroubles(page, troubles);
  const device = {
    context,
    page,
    uploads,
    troubles,
    go: (query) => page.goto(`${address}/?${new URLSearchParams(query)}`),
  };
  await device.go({ practice: 'riverside', view: 'client' });
  await page.getByRole('link', { name: 'New client' }).waitFor();
  return device;
}

/** Starts a program, waits for the line that says where it listens, and knows how to end it. */
async function started(program, args, env, ready) {
  const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = once(child, 'exit');
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    await exited;
  };
  const said = [];
  const found = new Promise((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        said.push(line);
        const match = ready.exec(line);
        if (match) resolve(match[1]);
      });
    }
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`${program} ended with ${code}:\n${said.join('\n')}`)));
    AbortSignal.timeout(START_LIMIT_MS).addEventListener('abort', () =>
      reject(new Error(`${program} did not start:\n${said.join('\n')}`)),
    );
  });
  try {
    return { found: await found, stop };
  } catch (cause) {
    if (child.pid !== undefined) await stop();
    throw cause;
  }
}
