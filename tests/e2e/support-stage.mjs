/**
 * The stage of the end-to-end tests that need no app, and of the days in every engine: the real server, a plain page with
 * the packed package, the gateway between them, and devices, each a context of one Chromium.
 *
 * Whoever opens a stage closes it; then nothing runs and nothing lies on the disk.
 */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { hearTroubles, LAUNCH } from '../environment.mjs';
import { openStage as openEmptyStage, serveFolders, servePage } from '../replay/stage.mjs';
import { openGateway } from './support-gateway.mjs';
import { prepareServer } from './support-server.mjs';

export const TENANT = 'riverside';

/** The chain that most tests use. */
export const SCHEMA = {
  name: 'clinic',
  version: 1,
  entities: {
    client: { indexes: ['name'] },
    pet: { references: { clientId: 'client' } },
    appointment: { references: { petId: 'pet' } },
    note: { references: { appointmentId: 'appointment' } },
  },
};

/**
 * Opens everything; the server runs, on a copy of `database` if one is given. `answer` may take requests of the page that
 * are neither for the server nor for a file: it returns true if it did.
 */
export async function openStage({ schema = SCHEMA, database, answer = async () => false } = {}) {
  const stage = await openEmptyStage();
  try {
    const server = await prepareServer(stage, schema, database);
    await server.start();
    const gateway = openGateway(server.address);
    const pages = fileURLToPath(new URL('page', import.meta.url));
    const site = await servePage(
      stage,
      pages,
      async (request, response) => (await gateway.answer(request, response)) || answer(request, response),
    );
    /** The same page at another origin. It has another storage: in a driver with one window that is another device. */
    const serveElsewhere = () => serveFolders(stage, { '/package/': site.unpacked, '/': pages }, gateway.answer);
    /** Settings for a user's client, as a test passes them to the page. */
    const settings = async (user = 'anna', more = {}) => ({
      ...{ tenant: TENANT, user, schema, baseUrl: '/api/v1/sync', autoSync: false },
      ...{ token: await server.token(TENANT, user), ...more },
    });
    let browser;
    const device = async () => {
      if (browser === undefined) {
        browser = await chromium.launch(LAUNCH.chromium());
        stage.onClose(() => browser.close());
      }
      const context = await browser.newContext();
      const troubles = [];
      const tab = async (user, more) => {
        const page = await openTab(context, site.address, troubles);
        await page.evaluate(async (config) => void (await globalThis.app.open(config)), await settings(user, more));
        return page;
      };
      return { context, tab, troubles };
    };
    /** A tab for each of these users, on devices of their own. What breaks in them goes to `troubles`: a list for each. */
    const tabs = async (troubles, ...users) => {
      const opened = [];
      for (const user of users) {
        const own = await device();
        troubles.push(own.troubles);
        opened.push(await own.tab(user));
      }
      return opened;
    };
    return { ...stage, server, gateway, site, serveElsewhere, settings, device, tabs };
  } catch (cause) {
    await stage.close();
    throw cause;
  }
}

/** A session of each of these tabs, one after the other, which succeeds. */
export async function sync(...tabs) {
  for (const tab of tabs) {
    const { success, errors } = await tab.evaluate(() => globalThis.app.client.engine.sync());
    assert.ok(success, JSON.stringify(errors));
  }
}

/** A new tab that shows the page, ready to be driven. What breaks in it goes to `troubles`. */
export async function openTab(context, address, troubles) {
  const page = await context.newPage();
  hearTroubles(page, troubles);
  await page.goto(address);
  await ready(page);
  return page;
}

/** Waits until the page's script has run. */
export async function ready(page) {
  await page.waitForFunction(() => document.documentElement.dataset.ready === 'yes');
}
