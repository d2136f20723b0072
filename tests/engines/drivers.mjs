/**
 * The three engines, a browser's each and never ours, behind one small face: a driver opens pages and calls functions of theirs.
 *
 * Chromium and Firefox by Playwright; WebKitGTK by WebDriver, because Playwright drives only a WebKit of its own build.
 * Where the programs are comes from the environment, set by `cargo xtask browser`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { chromium, firefox } from 'playwright-core';
import { Builder, Capabilities } from 'selenium-webdriver';
import { CHROMIUM_FLAGS, required } from '../environment.mjs';

export const ENGINES = ['chromium', 'firefox', 'webkit'];

const START_LIMIT_MS = 60_000;

/**
 * Starts an engine. `open(address)` gives a page that has said it is ready; its `call(path, ...args)` calls a function
 * of the page, `rig.ask` for instance, and gives what that resolves to.
 */
export function startEngine(stage, name) {
  return { chromium: startChromium, firefox: startFirefox, webkit: startWebKit }[name](stage);
}

async function startChromium(stage) {
  return driven(stage, await chromium.launch({ executablePath: required('FIELDSYNC_CHROMIUM'), args: CHROMIUM_FLAGS }));
}

async function startFirefox(stage) {
  // `channel` chooses WebDriver BiDi, which Debian's Firefox speaks; without it Playwright expects its own patched build.
  const executablePath = required('FIELDSYNC_FIREFOX');
  return driven(stage, await firefox.launch({ channel: 'moz-firefox', executablePath, headless: true }));
}

function driven(stage, browser) {
  stage.onClose(() => browser.close());
  return {
    open: async (address) => {
      const context = await browser.newContext();
      const page = await context.newPage();
      await page.goto(address);
      await page.waitForFunction(() => document.documentElement.dataset.ready === 'yes');
      return { call: (path, ...args) => page.evaluate(callByPath, [path, args]), close: () => context.close() };
    },
  };
}

function callByPath([path, args]) {
  return path.split('.').reduce((object, name) => object[name], globalThis)(...args);
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
  const call = async (path, ...args) => {
    const script = `const done = arguments[arguments.length - 1];
      (${callByPath})([arguments[0], arguments[1]]).then((value) => done({ value }), (cause) => done({ cause: String(cause) }));`;
    const { value, cause } = await session.executeAsyncScript(script, path, args);
    if (cause !== undefined) throw new Error(cause);
    return value;
  };
  return {
    // One window: what a page stored is there for the next one.
    open: async (address) => {
      await session.get('about:blank');
      await session.get(address);
      await session.wait(
        () => session.executeScript("return document.documentElement.dataset.ready === 'yes'"),
        START_LIMIT_MS,
      );
      return { call, close: async () => {} };
    },
  };
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
