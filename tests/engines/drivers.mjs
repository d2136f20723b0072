/**
 * The three engines, a browser's each and never ours, behind one small face: a driver opens pages and runs functions in them.
 *
 * Chromium and Firefox by Playwright; WebKitGTK by WebDriver, because Playwright drives only a WebKit of its own build.
 * Where the programs are comes from the environment, set by `cargo xtask browser`.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { chromium, firefox } from 'playwright-core';
import { Builder, Capabilities } from 'selenium-webdriver';
import { CHROMIUM_FLAGS, required } from '../environment.mjs';

export const ENGINES = ['chromium', 'firefox', 'webkit'];

const START_LIMIT_MS = 60_000;

/**
 * Starts an engine.
 *
 * `open(address)` gives a page that has said it is ready: `run(code, ...args)` runs a function in it and gives what that
 * resolves to, `call(path, ...args)` one that the page has, `rig.ask` for instance. `device(address)` is a place where
 * what pages store stays; `visit()` opens the address there anew, and is the end of its page before.
 *
 * `mortal(address)` is a device of a browser of its own, on a disk: `kill()` ends every process of it, and the next
 * `visit()` starts it again. Nothing for WebKit, whose driver keeps nothing on a disk.
 *
 * `secret(address)` is a device whose windows are private.
 */
export function startEngine(stage, name) {
  return { chromium: startChromium, firefox: startFirefox, webkit: startWebKit }[name](stage);
}

async function startChromium(stage) {
  const options = { executablePath: required('FIELDSYNC_CHROMIUM'), args: CHROMIUM_FLAGS };
  return driven(stage, chromium, options);
}

async function startFirefox(stage) {
  // `channel` chooses WebDriver BiDi, which Debian's Firefox speaks; without it Playwright expects its own patched build.
  const options = { channel: 'moz-firefox', executablePath: required('FIELDSYNC_FIREFOX'), headless: true };
  const open = await driven(stage, firefox, options);
  // What Playwright calls a context is a container there: a private window it opens for nobody.
  const firefoxUserPrefs = { 'browser.privatebrowsing.autostart': true };
  return {
    ...open,
    secret: async (address) => (await driven(stage, firefox, { ...options, firefoxUserPrefs })).device(address),
  };
}

async function driven(stage, kind, options) {
  const browser = await kind.launch(options);
  stage.onClose(() => browser.close());
  const inContext = async (address) => {
    const context = await browser.newContext();
    return { visit: () => shown(context, address), close: () => context.close() };
  };
  return {
    open: async (address) => {
      const { visit, close } = await inContext(address);
      return { ...(await visit()), close };
    },
    device: inContext,
    // Contexts of Chromium are private: they leave nothing on the disk.
    secret: inContext,
    mortal: async (address) => {
      const profile = await mkdtemp(join(stage.folder, 'profile-'));
      let context;
      stage.onClose(() => context?.close());
      return {
        visit: async () => {
          context ??= await kind.launchPersistentContext(profile, options);
          return shown(context, address);
        },
        kill: async () => {
          const ended = once(context, 'close');
          // Every process of it, and of nothing else, was given the folder of its profile or is a child of one that was.
          const { stdout } = await promisify(execFile)('pgrep', ['-f', profile]);
          for (const pid of stdout.trim().split('\n')) killed(Number(pid));
          await ended;
          context = undefined;
        },
      };
    },
  };
}

function killed(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (cause) {
    // It went with its parent.
    if (cause.code !== 'ESRCH') throw cause;
  }
}

/** The one page of a context, loaded anew. */
async function shown(context, address) {
  const page = context.pages()[0] ?? (await context.newPage());
  await page.goto(address);
  await page.waitForFunction(() => document.documentElement.dataset.ready === 'yes');
  return withCall((code, ...args) => page.evaluate(`(${code})(...${JSON.stringify(args)})`));
}

function withCall(run) {
  const byPath = (path, args) => path.split('.').reduce((object, name) => object[name], globalThis)(...args);
  return { run, call: (path, ...args) => run(byPath, path, args) };
}

async function startWebKit(stage) {
  const display = process.env.DISPLAY ?? (await startDisplay(stage));
  const port = await freePort();
  const env = { ...process.env, DISPLAY: display, WEBKIT_DISABLE_COMPOSITING_MODE: '1' };
  const driver = spawn(required('FIELDSYNC_WEBKIT_DRIVER'), [`--port=${port}`], {
    env,
    stdio: 'ignore',
    detached: true,
  });
  const ended = once(driver, 'exit');
  stage.onClose(async () => {
    if (driver.exitCode === null) process.kill(-driver.pid, 'SIGKILL');
    await ended;
  });
  await listening(port, ended);
  const browserOptions = { binary: required('FIELDSYNC_WEBKIT'), args: ['--automation'] };
  const capabilities = new Capabilities({ browserName: 'MiniBrowser', 'webkitgtk:browserOptions': browserOptions });
  const session = await new Builder().usingServer(`http://127.0.0.1:${port}`).withCapabilities(capabilities).build();
  stage.onClose(() => session.quit());
  await session.manage().setTimeouts({ script: 120_000 });
  const run = async (code, ...args) => {
    const script = `const done = arguments[arguments.length - 1];
      (async () => (${code})(...arguments[0]))().then((value) => done({ value }), (cause) => done({ cause: String(cause) }));`;
    const { value, cause } = await session.executeAsyncScript(script, args);
    if (cause !== undefined) throw new Error(cause);
    return value;
  };
  // One window, and one storage: what a page stored is there for the next one.
  const visit = async (address) => {
    await session.get('about:blank');
    await session.get(address);
    await session.wait(
      () => session.executeScript("return document.documentElement.dataset.ready === 'yes'"),
      START_LIMIT_MS,
    );
    return { ...withCall(run), close: async () => {} };
  };
  const device = async (address) => ({ visit: () => visit(address), close: async () => {} });
  // So is every session of this driver.
  return { open: visit, device, secret: device };
}

/** A screen that nobody sees: WebKitGTK needs one. Gives its name. */
async function startDisplay(stage) {
  const args = ['-displayfd', '3', '-screen', '0', '1280x900x24', '-nolisten', 'tcp'];
  const child = spawn(required('FIELDSYNC_XVFB'), args, { stdio: ['ignore', 'ignore', 'ignore', 'pipe'] });
  const ended = once(child, 'exit');
  stage.onClose(async () => {
    child.kill();
    await ended;
  });
  const [number] = await Promise.race([
    once(createInterface({ input: child.stdio[3] }), 'line'),
    ended.then(([code]) => Promise.reject(new Error(`Xvfb ended with ${code}`))),
  ]);
  return `:${number}`;
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Resolves when something answers on the port: the driver does not say so itself. */
async function listening(port, ended) {
  const limit = AbortSignal.timeout(START_LIMIT_MS);
  let over = false;
  ended.then(() => {
    over = true;
  });
  while (!over && !limit.aborted) {
    const answered = await fetch(`http://127.0.0.1:${port}/status`).then(
      () => true,
      () => false,
    );
    if (answered) return;
    // It has no other way to say that it listens.
    await pause(50);
  }
  throw new Error(over ? 'the WebKit driver ended at once' : 'the WebKit driver did not listen');
}
