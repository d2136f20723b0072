/** The browsers of the bench, by Playwright: each device is a browser with a profile on the disk. */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium, firefox } from 'playwright-core';
import { CHROMIUM_FLAGS, required } from '../tests/environment.mjs';

const LAUNCH = {
  chromium: (profile) => {
    return chromium.launchPersistentContext(profile, {
      executablePath: required('FIELDSYNC_CHROMIUM'),
      args: CHROMIUM_FLAGS,
    });
  },
  // `channel` chooses WebDriver BiDi, which a Firefox that nobody patched speaks.
  firefox: (profile) => {
    return firefox.launchPersistentContext(profile, {
      channel: 'moz-firefox',
      executablePath: required('FIELDSYNC_FIREFOX'),
      headless: true,
      // Else its clock goes in whole milliseconds.
      firefoxUserPrefs: { 'privacy.reduceTimerPrecision': false },
    });
  },
};

/** A folder for a profile. */
export function newProfile(stage) {
  return mkdtemp(join(stage.folder, 'profile-'));
}

/**
 * A browser that shows the page. It has an empty profile of its own, which goes with it, or the given one (a private
 * window would keep IndexedDB in memory).
 */
export async function openDevice({ stage, site, browser }, given) {
  const profile = given ?? (await newProfile(stage));
  const context = await LAUNCH[browser](profile);
  stage.onClose(() => context.close());
  const page = context.pages()[0] ?? (await context.newPage());
  await page.goto(site.address);
  await page.waitForFunction(() => document.documentElement.dataset.ready === 'yes');
  const close = async () => {
    await context.close();
    if (given === undefined) await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  return { page, close, version: context.browser()?.version() ?? '' };
}
