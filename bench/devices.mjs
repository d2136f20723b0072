/** The browsers of the bench, by Playwright: each device is a browser with a profile on the disk. */
import { rm } from 'node:fs/promises';
import { chromium, firefox } from 'playwright-core';
import { LAUNCH, newProfile } from '../tests/environment.mjs';

const ENGINES = { chromium, firefox };
/** Else Firefox's clock goes in whole milliseconds. */
const EXACT_CLOCK = { firefoxUserPrefs: { 'privacy.reduceTimerPrecision': false } };

/**
 * A browser that shows the page. It has an empty profile of its own, which goes with it, or the given one (a private
 * window would keep IndexedDB in memory).
 */
export async function openDevice({ stage, site, browser }, given) {
  const profile = given ?? (await newProfile(stage));
  const settings = { ...LAUNCH[browser](), ...(browser === 'firefox' && EXACT_CLOCK) };
  const context = await ENGINES[browser].launchPersistentContext(profile, settings);
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
