/** Alerts through the package: told once, by what the browser and the server really say, and not anew after a reload. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openStage } from './support-stage.mjs';

let stage;
before(async () => {
  stage = await openStage();
});
after(() => stage?.close());

test('sessions that fail are told once, also over a reload, and so is the end of it', {
  timeout: 120_000,
}, async () => {
  const device = await stage.device();
  const listen = (tab) =>
    tab.evaluate(() => {
      globalThis.told = [];
      globalThis.app.client.on('alert', (alert) => globalThis.told.push(alert));
    });
  const sessions = (tab, count) =>
    tab.evaluate(async (count) => {
      const { client } = globalThis.app;
      for (let at = 0; at < count; at += 1) await client.engine.sync();
      return { told: globalThis.told, alerts: await client.alerts() };
    }, count);
  const tab = await device.tab('anna');
  await listen(tab);
  await tab.evaluate(() => globalThis.app.client.setOffline(true));
  const failed = await sessions(tab, 4);
  assert.deepEqual(
    failed.told.map(({ code, value, limit, over }) => [code, value, limit, over]),
    [['sessions_failed', 3, 3, undefined]],
  );
  assert.deepEqual(
    failed.alerts.map(({ code, value }) => [code, value]),
    [['sessions_failed', 4]],
  );
  assert.equal(failed.alerts[0].since, failed.told[0].since);
  await tab.close();
  const again = await device.tab('anna');
  await listen(again);
  const known = await again.evaluate(() => globalThis.app.client.alerts());
  assert.deepEqual(known, failed.alerts);
  const well = await sessions(again, 1);
  assert.deepEqual(
    well.told.map(({ code, over }) => [code, over]),
    [['sessions_failed', true]],
  );
  assert.deepEqual(well.alerts, []);
  assert.deepEqual(device.troubles, []);
});

test('what the browser says of its storage is judged', { timeout: 120_000 }, async () => {
  const device = await stage.device();
  const tab = await device.tab('ben', { alerts: { storageHigh: 0, storageCritical: 1 } });
  const { told, quota } = await tab.evaluate(async () => {
    const { client, limited } = globalThis.app;
    let told;
    const first = new Promise((resolve) => client.on('alert', resolve));
    void first.then((alert) => {
      told = alert;
    });
    // The browser says it in its own time, and the next session judges it.
    while (told === undefined) await limited(client.engine.sync(), 'a session');
    return { told, ...(await navigator.storage.estimate()) };
  });
  assert.deepEqual([told.code, told.limit], ['storage_high', 0]);
  assert.ok(quota > 0 && told.value >= 0 && told.value < 1, JSON.stringify(told));
  assert.deepEqual(device.troubles, []);
});
