/**
 * What a replay plays on: the server as a process, a plain page that loads the package from its tarball, and browsers.
 *
 * Everything is opened here and closed by one call, in the opposite order, whatever happened in between. What was
 * built comes from the environment: `cargo xtask replay` sets FIELDSYNC_TARBALL, FIELDSYNC_SERVER_BIN and
 * FIELDSYNC_CHROMIUM.
 */
import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';
import { hearTroubles, LAUNCH, newProfile, required } from '../environment.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const START_LIMIT_MS = 60_000;
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};

/** An empty stage. `close` ends all that was opened on it. */
export async function openStage() {
  const folder = await mkdtemp(join(tmpdir(), 'fieldsync-'));
  const closing = [() => rm(folder, { recursive: true, force: true })];
  return {
    folder,
    onClose: (close) => closing.push(close),
    close: async () => {
      for (const close of closing.splice(0).reverse()) await close();
    },
  };
}

/**
 * Serves a folder of pages and, under `/package/`, the unpacked tarball. `answer` may take a request first: it returns
 * true if it did.
 */
export async function servePage(stage, pages = join(HERE, 'page'), answer = async () => false) {
  const unpacked = join(stage.folder, 'unpacked');
  await mkdir(unpacked);
  await promisify(execFile)('tar', ['-xzf', required('FIELDSYNC_TARBALL'), '-C', unpacked]);
  const folders = { '/package/': join(unpacked, 'package'), '/': pages };
  return { ...(await serveFolders(stage, folders, answer)), unpacked: join(unpacked, 'package') };
}

/** Serves folders, each under its prefix; the first that fits counts. `answer` as in `servePage`. */
export async function serveFolders(stage, folders, answer = async () => false) {
  const server = createServer(async (request, response) => {
    if (await answer(request, response)) return;
    const path = normalize(new URL(request.url, 'http://page').pathname);
    const [prefix, folder] = Object.entries(folders).find(([under]) => path.startsWith(under));
    const file = join(folder, path === '/' ? 'index.html' : path.slice(prefix.length));
    try {
      const content = await readFile(file);
      response.writeHead(200, { 'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream' }).end(content);
    } catch {
      response.writeHead(404).end();
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  stage.onClose(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return { address: `http://127.0.0.1:${server.address().port}` };
}

/**
 * Starts the server on a new database file, or on the given one; `stop` ends it cleanly, so that the file holds
 * everything.
 */
export async function startServer(stage, schema, origin, present) {
  const program = required('FIELDSYNC_SERVER_BIN');
  const folder = await mkdtemp(join(stage.folder, 'server-'));
  const database = present ?? join(folder, 'server.sqlite');
  const schemaFile = join(folder, 'schema.json');
  const keyFile = join(folder, 'key');
  await writeFile(schemaFile, JSON.stringify(schema));
  await writeFile(keyFile, randomBytes(32).toString('hex'), { mode: 0o600 });
  const args = ['--database', database, '--schema', schemaFile, '--listen', '127.0.0.1:0', '--key-file', keyFile];
  const child = spawn(program, ['serve', ...args, '--allow-origin', origin], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, RUST_LOG: 'warn' },
  });
  const exited = once(child, 'exit');
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    const [code, signal] = await exited;
    if (code !== 0) throw new Error(`the server did not stop cleanly: ${signal ?? code}`);
  };
  let stopped;
  const stopOnce = () => (stopped ??= stop());
  stage.onClose(stopOnce);
  const ready = new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const match = /listening on (http:\S+)/.exec(line);
      if (match) resolve(match[1]);
    });
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`the server ended with ${code} before it listened`)));
    const limit = AbortSignal.timeout(START_LIMIT_MS);
    limit.addEventListener('abort', () => reject(new Error('the server did not say where it listens')));
  });
  const address = await ready;
  const token = async (tenant, user) => {
    const identity = ['--key-file', keyFile, '--tenant', tenant, '--user', user];
    const { stdout } = await promisify(execFile)(program, ['token', ...identity]);
    return stdout.trim();
  };
  return { address, database, token, stop: stopOnce };
}

/** Fills a new database file with generated records. */
export async function seedDatabase(stage, schema, tenant, records) {
  const folder = await mkdtemp(join(stage.folder, 'seed-'));
  const [database, schemaFile] = [join(folder, 'server.sqlite'), join(folder, 'schema.json')];
  await writeFile(schemaFile, JSON.stringify(schema));
  const args = [
    'seed',
    '--database',
    database,
    '--schema',
    schemaFile,
    '--tenant',
    tenant,
    '--records',
    String(records),
  ];
  await promisify(execFile)(required('FIELDSYNC_SERVER_BIN'), args);
  return database;
}

/**
 * A browser of its own, with an empty profile on the disk (a private window would keep IndexedDB in memory), showing the
 * page. Counts what goes to `api`.
 */
export async function openDevice(stage, address, api) {
  const context = await chromium.launchPersistentContext(await newProfile(stage), LAUNCH.chromium());
  stage.onClose(() => context.close());
  const page = context.pages()[0] ?? (await context.newPage());
  const troubles = [];
  hearTroubles(page, troubles);
  const traffic = api === undefined ? undefined : await countTraffic(context, page, api);
  await page.goto(address);
  await page.waitForFunction(() => document.documentElement.dataset.ready === 'yes');
  return { context, page, troubles, traffic: () => ({ ...traffic }) };
}

/**
 * Counts requests to `api` and the bytes of their bodies, as the browser's network layer saw them. Not by finished
 * requests: a reader that has what it needs may leave the end of an answer unread.
 */
async function countTraffic(context, page, api) {
  const count = { requests: 0, bytesUp: 0, bytesDown: 0 };
  const ours = new Set();
  const session = await context.newCDPSession(page);
  session.on('Network.requestWillBeSent', ({ requestId, request }) => {
    if (!request.url.startsWith(api) || request.method === 'OPTIONS') return;
    ours.add(requestId);
    count.requests += 1;
  });
  session.on('Network.dataReceived', ({ requestId, dataLength }) => {
    if (ours.has(requestId)) count.bytesDown += dataLength;
  });
  page.on('request', (request) => {
    if (request.url().startsWith(api)) count.bytesUp += request.postDataBuffer()?.length ?? 0;
  });
  await session.send('Network.enable');
  return count;
}
