/** The log of sessions through the package: what went up and down, what failed, and what they come to, also after a reload. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openStage } from './support-stage.mjs';

let stage;
before(async () => {
  stage = await openStage();
});
after(() => stage?.close());

test('every session leaves a row that outlives its page', { timeout: 120_000 }, async () => {
  const device = await stage.device();
  const tab = await device.tab('anna');
  await tab.evaluate(async () => {
    const { client } = globalThis.app;
    await client.create('client', { name: 'Ann' });
    await client.engine.sync();
  });
  await tab.close();
  const again = await device.tab('anna');
  const {
    rows,
    latest,
    summary,
    device: told,
    refused,
  } = await again.evaluate(async () => {
    const { client } = globalThis.app;
    await client.engine.syncFromServer();
    return {
      rows: await client.syncLog.list({ status: 'success' }),
      latest: await client.syncLog.list({ order: 'desc', limit: 1 }),
      summary: await client.syncLog.summary({ until: Date.now() + 60_000 }),
      device: client.engine.status().device ?? null,
      refused: await client.syncLog.list({ since: 'yesterday' }).catch(({ code, details }) => [code, details.path]),
    };
  });
  assert.ok(rows.length >= 2, JSON.stringify(rows));
  const up = rows.find((row) => row.uploaded === 1);
  assert.equal(up.userId, 'anna');
  assert.ok(up.bytesUp > 0 && up.bytesDown > 0 && up.recordsProcessed >= 1);
  assert.ok(told === null || up.deviceId === told);
  assert.deepEqual(latest, [rows.at(-1)]);
  assert.equal(latest[0].direction, 'download');
  assert.equal(
    summary.sessions.total,
    rows.reduce((sum, { count }) => sum + count, 0),
  );
  assert.deepEqual([summary.successRate, summary.uploaded, summary.errors], [1, 1, []]);
  assert.deepEqual(refused, ['invalid_value', 'since']);
  assert.deepEqual(device.troubles, []);
});
