/**
 * The packed package where apps use it: on a plain page, in workers, with bundlers, in Vitest. Each time the client
 * opens, a note is stored in IndexedDB and found after a reload, and of the one wasm file of the package one is left.
 *
 * What was seen is compared with the table in docs/packages.md.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openStage, serveFolders } from '../replay/stage.mjs';
import { compareTable, openTable } from '../table.mjs';
import { emitted, freshApp, keepNotes, MODULES, openBrowser, runScript, serve, version } from './stand.mjs';

const table = openTable('where');
const COLUMNS = ['a note is kept', 'wasm files in the build', 'loaded from'];

describe('the packed package', { timeout: 900_000 }, () => {
  let stage;
  let browser;
  before(async () => {
    stage = await openStage();
    browser = await openBrowser(stage);
  });
  after(() => stage?.close());

  /** A test whose answers are a row of the table; what breaks is seen there too. */
  function consumer(name, tried) {
    test(name, async () => {
      for (const column of COLUMNS) table.set(name, column, '**broken**');
      const answers = await tried();
      for (const [index, column] of COLUMNS.entries()) table.set(name, column, answers[index]);
    });
  }

  /** Serves folders and keeps notes there. */
  async function keptIn(folders, answer) {
    const { address } = await serveFolders(stage, folders, answer);
    return shown(await keepNotes(browser, address));
  }

  test('a module that is not there is noticed, so that the others can fail', async () => {
    const folders = { '/node_modules/': MODULES, '/': await freshApp('page') };
    const missing = async ({ url }, response) => url.endsWith('.wasm') && Boolean(response.writeHead(404).end());
    await assert.rejects(keptIn(folders, missing), /404|could not be loaded/);
  });

  consumer('a plain page with an import map', async () => {
    const source = await keptIn({ '/node_modules/': MODULES, '/': await freshApp('page') });
    return ['yes', 'no build', source];
  });

  consumer('a module worker, not bundled', async () => {
    const source = await keptIn({ '/node_modules/': MODULES, '/': await freshApp('worker-module') });
    return ['yes', 'no build', source];
  });

  consumer('a classic worker by esbuild, module as a file', async () => {
    const app = await freshApp('worker-classic', 'worker-with-url');
    await runScript(app, 'build:url');
    const source = await keptIn({ '/': join(app, 'public') });
    return ['yes', count(await emitted(app)), source];
  });

  consumer('a classic worker by esbuild, module in the script', async () => {
    const app = await freshApp('worker-classic', 'worker-with-bytes');
    await runScript(app, 'build:bytes');
    const { address } = await serveFolders(stage, { '/': join(app, 'public') });
    assert.deepEqual(await keepNotes(browser, address), [], 'nothing is fetched');
    return ['yes', count(await emitted(app)), 'the script'];
  });

  consumer('Vite, dev', async () => {
    const address = await serve(stage, await freshApp('vite', 'vite-dev'), 'vite', [
      '--host',
      '127.0.0.1',
      '--port',
      '0',
    ]);
    return ['yes', 'no build', shown(await keepNotes(browser, address))];
  });

  consumer('Vite, build', async () => {
    const app = await freshApp('vite');
    await runScript(app, 'build');
    const source = await keptIn({ '/': join(app, 'dist') });
    return ['yes', count(await emitted(join(app, 'dist'))), source];
  });

  test('a content security policy has to allow WebAssembly, and nothing else', async () => {
    const app = await freshApp('vite', 'vite-policy');
    await runScript(app, 'build');
    const under = (policy) =>
      keptIn({ '/': join(app, 'dist') }, async (_, response) => {
        response.setHeader('Content-Security-Policy', `default-src 'self'; img-src data:; ${policy}`);
        return false;
      });
    await under("script-src 'self' 'wasm-unsafe-eval'");
    await assert.rejects(under("script-src 'self'"), /Content Security Policy/);
  });

  const external = "{ serverExternalPackages: ['fieldsync'] }";
  for (const [bundler, script, config] of [
    ['Turbopack', 'build', '{}'],
    ['webpack', 'build:webpack', '{}'],
    ['webpack, external on the server', 'build:webpack', external],
  ]) {
    consumer(`Next.js with ${bundler}`, async () => {
      const app = await freshApp('next', `next-${bundler.replace(/\W+/g, '-').toLowerCase()}`);
      await writeFile(join(app, 'next.config.mjs'), `export default ${config};\n`);
      await runScript(app, script);
      const address = await serve(stage, app, 'next', ['start', '--hostname', '127.0.0.1', '--port', '0']);
      assert.deepEqual(await answerOfServer(address), { temporary: true, refusals: ['not_initialized', 'no_browser'] });
      const source = shown(await keepNotes(browser, address));
      return ['yes', await countOfNext(app), source];
    });
  }

  consumer('Vitest in its browser mode', async () => {
    const app = await freshApp('vitest');
    const report = join(stage.folder, 'vitest.json');
    const env = { CHROMIUM: process.env.FIELDSYNC_CHROMIUM };
    await runScript(app, 'test', ['--reporter=json', `--outputFile=${report}`], env);
    const { numPassedTests, numTotalTests } = JSON.parse(await readFile(report, 'utf8'));
    assert.deepEqual({ numPassedTests, numTotalTests }, { numPassedTests: 1, numTotalTests: 1 });
    return ['yes', 'no build', 'its own server'];
  });
});

test('docs/packages.md tells where the package was tried', async () => {
  const tools = ['vite', 'next', 'vitest', 'esbuild'];
  const tried = await Promise.all(tools.map(async (name) => `${name} ${await version(name)}`));
  await compareTable('docs/packages.md', 'bundlers', `${table.text()}\n\nTried with ${tried.join(', ')}.`);
});

/** What the server has rendered: the package was imported there, and did nothing. */
async function answerOfServer(address) {
  const html = await (await fetch(address)).text();
  assert.match(html, /Add a note/, 'the client component was rendered on the server too');
  const [, text] = /<pre>(.*?)<\/pre>/.exec(html);
  return JSON.parse(text.replaceAll('&quot;', '"'));
}

/** The one place from which the module was loaded, without host, this machine's folders and the hash in its name. */
function shown(sources) {
  assert.equal(sources.length, 1, `loaded from ${sources.join(' and from ') || 'nowhere'}`);
  const { pathname } = new URL(sources[0]);
  const path = pathname.replace(dirname(MODULES), '/…').replace(/fieldsync_bg[-.][\w-]+\.wasm$/, 'fieldsync_bg.*.wasm');
  return `\`${path}\``;
}

/** How many files hold the module; more than one is a fault. */
function count({ files, scripts }) {
  assert.equal(files.length + scripts.length, 1, `the module is in ${[...files, ...scripts].join(' and in ')}`);
  return files.length === 1 ? '1' : '0: it is in the script';
}

/** The same for what `next build` leaves for browsers. Its server's side may hold copies, which nothing loads. */
async function countOfNext(app) {
  const browsers = count(await emitted(join(app, '.next/static')));
  const { files, scripts } = await emitted(join(app, '.next/server'));
  assert.deepEqual(scripts, []);
  assert.ok(files.length <= 1 && files.every((file) => basename(file).startsWith('fieldsync_bg.')), String(files));
  return files.length === 0 ? browsers : `${browsers}, and a copy on the server that nothing loads`;
}
