/**
 * What tests in browsers are given by whoever runs them, and how a browser is started for all of them: by which program,
 * with which options, on which profile, and with an ear for what breaks in its pages.
 */
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';

/** Chromium in a container, without what talks to its maker. */
export const CHROMIUM_FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking'];

/** What Playwright takes to start each kind of browser. */
export const LAUNCH = {
  chromium: () => ({ executablePath: required('FIELDSYNC_CHROMIUM'), args: CHROMIUM_FLAGS }),
  // `channel` chooses WebDriver BiDi, which a Firefox that nobody patched speaks.
  firefox: () => ({ channel: 'moz-firefox', executablePath: required('FIELDSYNC_FIREFOX'), headless: true }),
};

/** What a variable of the environment says. */
export function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run this by cargo xtask`);
  return value;
}

/** A folder for a profile that outlives its browsers. It goes with the stage. */
export function newProfile(stage) {
  return mkdtemp(join(stage.folder, 'profile-'));
}

/** From now on, what breaks in a page of Playwright's goes to `troubles`. */
export function hearTroubles(page, troubles) {
  page.on('pageerror', (error) => troubles.push(String(error)));
  page.on('crash', () => troubles.push('the page crashed'));
}
