/**
 * What the package is tried on: small apps beside an installation of the packed tarball, the programs that build and
 * serve them, and a person in Chromium who adds a note and looks for it again.
 *
 * Where everything is comes from the environment, set by `cargo xtask packages`.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { cp, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';
import { LAUNCH, required } from '../environment.mjs';

const START_LIMIT_MS = 60_000;
const NOTE = 'Buy hay';

/** The folder with the apps, and with the packages that they are built with and of. */
const FOLDER = required('FIELDSYNC_PACKAGES');
export const MODULES = join(FOLDER, 'node_modules');
export const PACKAGE = join(MODULES, 'fieldsync');
export const WASM = join(PACKAGE, 'dist/wasm/fieldsync_bg.wasm');

/** A copy of an app, without what an earlier run has built of it. */
export async function freshApp(name, as = name) {
  const folder = join(FOLDER, 'run', as);
  await rm(folder, { recursive: true, force: true });
  await cp(join(FOLDER, 'apps', name), folder, { recursive: true });
  return folder;
}

/** The version of an installed package. */
export async function version(name) {
  return JSON.parse(await readFile(join(MODULES, name, 'package.json'), 'utf8')).version;
}

/** Runs one of an app's own scripts to its end; gives what it printed. */
export async function runScript(folder, script, args = [], env = {}) {
  try {
    const { stdout, stderr } = await promisify(execFile)('npm', ['run', script, '--', ...args], options(folder, env));
    return stdout + stderr;
  } catch (cause) {
    throw new Error(`'npm run ${script}' ended with ${cause.code}:\n${cause.stdout}\n${cause.stderr}`);
  }
}

/** Starts an installed program that serves an app, and gives its address once it has said it. */
export async function serve(stage, folder, program, args) {
  const child = spawn(join(MODULES, '.bin', program), args, { ...options(folder), stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = once(child, 'exit');
  stage.onClose(async () => {
    child.kill('SIGTERM');
    await exited;
  });
  const said = [];
  return new Promise((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        said.push(line);
        const match = /Local:\s+(http:\S+)/.exec(line);
        if (match) resolve(match[1]);
      });
    }
    const broken = (why) => reject(new Error(`${program} ${why}:\n${said.join('\n')}`));
    child.once('error', broken);
    child.once('exit', (code) => broken(`ended with ${code}`));
    AbortSignal.timeout(START_LIMIT_MS).addEventListener('abort', () => broken('did not say where it listens'));
  });
}

function options(folder, env) {
  const quiet = { NEXT_TELEMETRY_DISABLED: '1', NO_COLOR: '1', FORCE_COLOR: undefined };
  return { cwd: folder, env: { ...process.env, ...quiet, ...env } };
}

/** A browser that the stage closes. */
export async function openBrowser(stage) {
  const browser = await chromium.launch(LAUNCH.chromium());
  stage.onClose(() => browser.close());
  return browser;
}

/**
 * Adds a note as a person would, and finds it again: in IndexedDB, read past the package, and on the page after a
 * reload. Any error of the page or its worker ends it. Gives the addresses from which wasm files came.
 */
export async function keepNotes(browser, address) {
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    const sources = new Set();
    context.on('response', (response) => {
      const module = response.headers()['content-type'] === 'application/wasm' || response.url().endsWith('.wasm');
      if (module) sources.add(response.url());
    });
    const broken = new Promise((_, reject) => {
      page.on('pageerror', reject);
      page.on('crash', () => reject(new Error('the page crashed')));
      // What nobody catches in a worker, and files that are not there.
      page.on('console', (message) => message.type() === 'error' && reject(new Error(message.text())));
    });
    await Promise.race([broken, addNote(page, address)]);
    for (const source of sources) await assertServed(source);
    return [...sources];
  } finally {
    await context.close();
  }
}

async function addNote(page, address) {
  const notes = page.getByRole('listitem');
  await page.goto(address);
  assert.equal(await notes.count(), 0, 'a new profile has no note');
  await page.getByRole('button', { name: 'Add a note' }).click();
  await notes.getByText(NOTE).waitFor();
  const rows = await page.evaluate(storedRows);
  assert.ok(
    rows.some((row) => row.includes(NOTE)),
    'the note is not in IndexedDB',
  );
  await page.reload();
  await notes.getByText(NOTE).waitFor();
  assert.equal(await notes.count(), 1);
}

/** Every row of every database of the page's origin, as text. */
async function storedRows() {
  const finished = (request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  const rows = [];
  for (const { name } of await indexedDB.databases()) {
    const database = await finished(indexedDB.open(name));
    for (const store of database.objectStoreNames) {
      const objects = database.transaction(store).objectStore(store);
      rows.push(...(await finished(objects.getAll())).map((row) => JSON.stringify(row)));
    }
    database.close();
  }
  return rows;
}

/** What was loaded is the module of the tarball, under the type that streaming compilation asks for. */
async function assertServed(source) {
  const response = await fetch(source);
  assert.equal(response.headers.get('content-type'), 'application/wasm', source);
  assert.equal(digest(Buffer.from(await response.arrayBuffer())), digest(await readFile(WASM)), source);
}

/**
 * The wasm files below a folder, each of which must be the package's own, and the scripts that carry one in their text.
 */
export async function emitted(folder) {
  const own = digest(await readFile(WASM));
  const found = { files: [], scripts: [] };
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    if (file.endsWith('.wasm')) {
      assert.equal(digest(await readFile(file)), own, `${file} is not the package's module`);
      found.files.push(file.slice(folder.length));
    } else if (/\.[cm]?js$/.test(file) && (await readFile(file, 'utf8')).includes('AGFzbQ')) {
      // How every module begins, in base64.
      found.scripts.push(file.slice(folder.length));
    }
  }
  return found;
}

function digest(bytes) {
  return createHash('sha256').update(bytes).digest('hex');
}
