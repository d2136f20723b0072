/**
 * The three engines, a browser's each and never ours, behind one small face: a driver opens pages and runs functions in them.
 *
 * Chromium and Firefox by Playwright; WebKitGTK by WebDriver, because Playwright drives only a WebKit of its own build.
 * Where the programs are comes from the environment, set by `cargo xtask browser`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { chromium, firefox } from 'playwright-core';
import { Builder, Capabilities } from 'selenium-webdriver';
import { startBrowser } from '../e2e/support-chromium.mjs';
import { ready } from '../e2e/support-stage.mjs';
import { LAUNCH, newProfile, required } from '../environment.mjs';

export const ENGINES = ['chromium', 'firefox', 'webkit'];

const START_LIMIT_MS = 60_000;

/**
 * Starts an engine.
 *
 * `open(address)` gives a page that has said it is ready: `run(code, ...args)` runs a function in it and gives what that
 * resolves to, `call(path, ...args)` one that the page has, `rig.ask` for instance.
 *
 * `device(address)` is a place where what pages store stays. `visit()` opens the address there anew, and is the end of
 * all its pages before (in WebKit, where all devices share one session, of all pages); `tab()` opens it once more beside
 * them. `kill()` ends every process of its browser, and the next `visit()` starts that again, on the same profile:
 * nothing for WebKit, whose driver keeps nothing on a disk.
 *
 * `inPrivateWindow(address)` is a device whose windows are private. `troubles()` gives what broke in any page since it was
 * asked last.
 */
export function startEngine(stage, name) {
  return { chromium: startChromium, firefox: startFirefox, webkit: startWebKit }[name](stage);
}

function startChromium(stage) {
  // Contexts of Chromium are private: they leave nothing on the disk.
  const newContext = launcher(stage, chromium, LAUNCH.chromium());
  return driven(stage, { newContext, newPrivateContext: newContext, start: startBrowser });
}

function startFirefox(stage) {
  const options = LAUNCH.firefox();
  // What Playwright calls a context is a container there: a private window it opens for nobody.
  const firefoxUserPrefs = { 'browser.privatebrowsing.autostart': true };
  return driven(stage, {
    newContext: launcher(stage, firefox, options),
    newPrivateContext: launcher(stage, firefox, { ...options, firefoxUserPrefs }),
    start: startFirefoxOn,
  });
}

/** Gives contexts of one browser, which is started for the first of them. */
function launcher(stage, kind, options) {
  const launch = async () => {
    const browser = await kind.launch(options);
    stage.onClose(() => browser.close());
    return browser;
  };
  let browser;
  return async () => {
    browser ??= launch();
    return (await browser).newContext();
  };
}

/** Starts a Firefox on a profile, as `startBrowser` does a Chromium. */
async function startFirefoxOn(stage, profile) {
  const context = await firefox.launchPersistentContext(profile, LAUNCH.firefox());
  const ended = once(context, 'close');
  stage.onClose(() => context.close());
  const kill = async () => {
    for (const pid of await processesOf(profile)) killed(pid);
    await ended;
  };
  return { context, kill };
}

/**
 * The processes of a Firefox: the one that was given the folder of its profile, and whatever descends from it. Those name
 * the profile nowhere. Its crash helper belongs to nobody, stores nothing, and ends after it.
 */
async function processesOf(profile) {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  // Those that have ended meanwhile have none.
  const told = (pid, file) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '');
  const commands = await Promise.all(pids.map((pid) => told(pid, 'cmdline')));
  const parents = await Promise.all(pids.map(async (pid) => parentIn(await told(pid, 'stat'))));
  const found = new Set(pids.filter((_, at) => commands[at].includes(profile)));
  // Whatever is added meanwhile gets its turn.
  for (const pid of found) for (const child of pids.filter((_, at) => parents[at] === pid)) found.add(child);
  return [...found];
}

/** The parent in a process's `stat`: the second word after the name, which may hold anything and ends with the last `)`. */
function parentIn(stat) {
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
}

function killed(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (cause) {
    // It went with its parent.
    if (cause.code !== 'ESRCH') throw cause;
  }
}

function driven(stage, { newContext, newPrivateContext, start }) {
  const contexts = new Set();
  const heard = [];
  const hear = async (context) => {
    await context.addInitScript(hearItself);
    contexts.add(context);
    context.once('close', () => contexts.delete(context));
    return context;
  };
  const troubles = async () => {
    const pages = [...contexts].flatMap((context) => context.pages());
    for (const page of pages) heard.push(...(await page.evaluate(heardSince)));
    return heard.splice(0);
  };
  const shown = async (page, address) => {
    await page.goto(address);
    await ready(page);
    return withCall((code, ...args) => page.evaluate(`(${code})(...${JSON.stringify(args)})`));
  };
  /** A device's pages, in the context that it has by then. */
  const pagesIn = (context, address) => ({
    visit: async () => {
      heard.push(...(await troubles()));
      const [page = await (await context()).newPage(), ...others] = (await context()).pages();
      for (const other of others) await other.close();
      return shown(page, address);
    },
    tab: async () => shown(await (await context()).newPage(), address),
  });
  return {
    troubles,
    open: async (address) => {
      const context = await hear(await newContext());
      return { ...(await shown(await context.newPage(), address)), close: () => context.close() };
    },
    device: async (address) => {
      const profile = await newProfile(stage);
      let browser;
      const context = async () => {
        if (browser === undefined) {
          browser = await start(stage, profile);
          await hear(browser.context);
        }
        return browser.context;
      };
      const kill = async () => {
        await browser.kill();
        browser = undefined;
      };
      return { ...pagesIn(context, address), kill };
    },
    inPrivateWindow: async (address) => {
      const context = await hear(await newPrivateContext());
      return pagesIn(async () => context, address);
    },
  };
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
  const [first] = await session.getAllWindowHandles();
  const heard = [];
  const shown = async (address) => {
    const window = await session.getWindowHandle();
    await session.get(address);
    await session.wait(
      () => session.executeScript("return document.documentElement.dataset.ready === 'yes'"),
      START_LIMIT_MS,
    );
    await session.executeScript(hearItself);
    const run = async (code, ...args) => {
      const script = `const done = arguments[arguments.length - 1];
        (async () => (${code})(...arguments[0]))().then((value) => done({ value }), (cause) => done({ cause: String(cause) }));`;
      // One page after the other: a session drives one window at a time.
      await session.switchTo().window(window);
      const { value, cause } = await session.executeAsyncScript(script, args);
      if (cause !== undefined) throw new Error(cause);
      return value;
    };
    return withCall(run);
  };
  const troubles = async () => {
    for (const window of await session.getAllWindowHandles()) {
      await session.switchTo().window(window);
      heard.push(...(await session.executeScript(heardSince)));
    }
    return heard.splice(0);
  };
  // One storage: what a page stored is there for the next one.
  const visit = async (address) => {
    heard.push(...(await troubles()));
    for (const window of await session.getAllWindowHandles()) {
      await session.switchTo().window(window);
      if (window === first) await session.get('about:blank');
      else await session.close();
    }
    await session.switchTo().window(first);
    return shown(address);
  };
  const tab = async (address) => {
    await session.switchTo().newWindow('tab');
    return shown(address);
  };
  const device = async (address) => ({ visit: () => visit(address), tab: () => tab(address) });
  return {
    troubles,
    open: async (address) => ({ ...(await visit(address)), close: async () => {} }),
    device,
    // Every session of this driver is private.
    inPrivateWindow: device,
  };
}

/** Runs in a page: what breaks in it is kept. */
function hearItself() {
  globalThis.troubles = [];
  addEventListener('error', ({ error, message }) => globalThis.troubles.push(String(error ?? message)));
  addEventListener('unhandledrejection', ({ reason }) => globalThis.troubles.push(String(reason)));
}

/** Runs in a page: what broke since it was asked last. The page itself says so, because a driver hears of it later. */
function heardSince() {
  return globalThis.troubles?.splice(0) ?? [];
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
