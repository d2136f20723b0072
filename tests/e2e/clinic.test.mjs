/**
 * The clinic as a person uses it: everything is done through the screens of the built app, in front of the real
 * server. What is read elsewhere is only what the browser sent.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openStage } from './support-clinic.mjs';

const TEMP_ID = /^temp_\d+_[0-9a-z]+_/;

describe('the clinic', { timeout: 180_000 }, () => {
  let stage;
  let desk;
  /** The temp ID under which each record of the chain was first shown, then its real ID. */
  const temp = {};
  const real = {};

  before(async () => {
    stage = await openStage();
    desk = await stage.device();
  });
  after(() => stage?.close());

  test('the chain client, pet, appointment, note is entered offline, each from the one before', async () => {
    const { page } = desk;
    await page.getByRole('switch', { name: 'Work offline' }).click();
    await status(page, /^Offline/);

    await page.getByRole('link', { name: 'New client' }).click();
    temp.client = await save(page, { Name: 'Ada Lindgren', Phone: '555 0101', City: 'Uppsala' });
    await page.getByRole('link', { name: 'Add pet' }).click();
    temp.pet = await save(page, { Name: 'Rex', 'Weight in kg': '12.5' });
    await page.getByRole('link', { name: 'Add appointment' }).click();
    temp.appointment = await save(page, { When: '2026-11-25T10:30', Reason: 'Vaccination' });
    await page.getByRole('link', { name: 'Add note' }).click();
    temp.note = await save(page, { Text: 'Healthy. Second shot in four weeks.' });

    for (const [entity, id] of Object.entries(temp)) {
      assert.match(id, TEMP_ID);
      assert.ok(id.endsWith(`_${entity}`), id);
    }
    await status(page, /^Offline, 4 to send$/);
    assert.equal(desk.uploads.length, 0);
  });

  test('the queue shows the four with their state and the reason why they wait', async () => {
    const { page } = desk;
    await page.getByRole('link', { name: /^Queue/ }).click();
    const items = page.locator('[data-operation]');
    await items.nth(3).waitFor();
    assert.equal(await items.count(), 4);
    for (const [index, name] of ['Ada Lindgren', 'Rex', 'Rex · Vaccination', 'Healthy. Second shot'].entries()) {
      const item = items.nth(index);
      assert.match(await item.locator('.title').innerText(), new RegExp(name));
      assert.equal(await item.getAttribute('data-state'), 'pending');
      assert.equal(await item.locator('.reason').innerText(), 'Waits for the network.');
    }
  });

  test('a reload without a network forgets nothing: the switch, the queue, the record under its temp ID', async () => {
    const { page } = desk;
    await desk.go({ practice: 'riverside', view: 'pet', id: temp.pet });
    await page.getByRole('heading', { name: 'Rex' }).waitFor();
    assert.equal(await shownId(page), temp.pet);
    assert.equal(await page.getByRole('switch').getAttribute('aria-checked'), 'true');
    await status(page, /^Offline, 4 to send$/);
  });

  test('online, the four go up in one request and their rows stay the same rows', async () => {
    const { page, uploads } = desk;
    const row = await page.locator(`.list li[data-key="${temp.pet}"]`).elementHandle();
    const said = await statusWords(page);
    await page.getByRole('switch', { name: 'Work offline' }).click();
    await page.waitForFunction((element) => /^\d+$/.test(element.dataset.id ?? ''), row);
    await status(page, /^Up to date$/);

    const words = await said.evaluate((list) => list);
    assert.ok(words.includes('Sending 4 of 4'), words.join(', '));
    assert.equal(await row.evaluate((element) => element.isConnected), true);
    assert.equal(await row.getAttribute('data-key'), temp.pet);
    assert.equal(uploads.length, 1);
    assert.equal(uploads[0].operations.length, 4);
    await page.getByRole('link', { name: /^Queue/ }).click();
    await page.getByText('Nothing waits').waitFor();
  });

  test('every record has its real ID, and every reference follows', async () => {
    const { page } = desk;
    for (const entity of Object.keys(temp)) {
      // By its temp ID: every ID a record ever had finds it, after a reload too.
      await desk.go({ practice: 'riverside', view: entity, id: temp[entity] });
      real[entity] = await shownId(page);
      assert.match(real[entity], /^\d+$/);
    }
    await desk.go({ practice: 'riverside', view: 'pet', id: real.pet });
    assert.equal(await chosen(page, 'Owner'), real.client);
    await desk.go({ practice: 'riverside', view: 'appointment', id: real.appointment });
    assert.equal(await chosen(page, 'Pet'), real.pet);
    await desk.go({ practice: 'riverside', view: 'note', id: real.note });
    assert.equal(await chosen(page, 'Appointment'), real.appointment);
  });

  test('a second device shows the same records under the same IDs', async () => {
    const phone = await stage.device();
    const { page } = phone;
    await page.locator(`.list li[data-id="${real.client}"]`).getByText('Ada Lindgren').click();
    await filled(page, 'City', 'Uppsala');
    await page.getByRole('region', { name: 'Pets' }).getByText('Rex').click();
    assert.equal(await shownId(page), real.pet);
    await page.getByRole('region', { name: 'Appointments' }).getByText('Vaccination').click();
    assert.equal(await shownId(page), real.appointment);
    await page.getByRole('region', { name: 'Notes' }).getByText('Healthy').click();
    assert.equal(await shownId(page), real.note);
    assert.deepEqual(phone.troubles, []);
    await phone.context.close();
  });

  test('two devices change different fields of one record, and both changes are in it', async () => {
    const phone = await stage.device();
    await phone.go({ practice: 'riverside', view: 'client', id: real.client });
    await desk.go({ practice: 'riverside', view: 'client', id: real.client });
    await desk.page.getByRole('switch', { name: 'Work offline' }).click();
    await change(desk.page, { Email: 'ada@example.org' });
    await change(phone.page, { Phone: '555 0202' });
    await status(phone.page, /^Up to date$/);

    await desk.page.getByRole('switch', { name: 'Work offline' }).click();
    await status(desk.page, /^Up to date$/);
    await filled(desk.page, 'Phone', '555 0202');
    await filled(desk.page, 'Email', 'ada@example.org');
    await phone.page.getByRole('button', { name: 'Sync now' }).click();
    await filled(phone.page, 'Email', 'ada@example.org');
    await phone.context.close();
  });

  test('two devices change the same field: the later stands, the other is kept and shown', async () => {
    const phone = await stage.device();
    await phone.go({ practice: 'riverside', view: 'pet', id: real.pet });
    await desk.go({ practice: 'riverside', view: 'pet', id: real.pet });
    await desk.page.getByRole('switch', { name: 'Work offline' }).click();
    await change(desk.page, { 'Weight in kg': '12.9' });
    await change(phone.page, { 'Weight in kg': '13.4' });
    await status(phone.page, /^Up to date$/);

    await desk.page.getByRole('switch', { name: 'Work offline' }).click();
    await filled(desk.page, 'Weight in kg', '13.4');
    await desk.page.getByRole('link', { name: /^Conflicts/ }).click();
    const card = desk.page.getByRole('region', { name: 'Conflicts' }).locator('.card');
    await card.getByText('resolved', { exact: true }).waitFor();
    assert.equal(await card.count(), 1);
    assert.match(await card.locator('.title').innerText(), /Rex/);
    assert.match(await card.locator('.reason').innerText(), /· the server's value stands, decided by a rule$/);
    assert.deepEqual(await card.locator('tbody tr').first().locator('th, td').allInnerTexts(), [
      'Weight in kg',
      '12.9',
      '13.4',
    ]);
    await phone.context.close();
  });

  test('of a field within another both sides are shown too', async () => {
    const phone = await stage.device();
    for (const { go } of [phone, desk]) await go({ practice: 'riverside', view: 'client', id: real.client });
    await desk.page.getByRole('switch', { name: 'Work offline' }).click();
    await change(desk.page, { City: 'Lund' });
    await change(phone.page, { City: 'Malmö' });
    await status(phone.page, /^Up to date$/);
    await desk.page.getByRole('switch', { name: 'Work offline' }).click();
    await filled(desk.page, 'City', 'Malmö');
    await desk.page.getByRole('link', { name: /^Conflicts/ }).click();
    const card = desk.page.locator('.card').filter({ hasText: 'Ada Lindgren' });
    assert.deepEqual(await card.locator('tbody tr').locator('th, td').allInnerTexts(), ['City', 'Lund', 'Malmö']);
    await phone.context.close();
  });

  test('when the network itself is gone, saves go on, and its return is enough to send them', async () => {
    const { page, context } = desk;
    await desk.go({ practice: 'riverside', view: 'practitioner' });
    await page.getByRole('link', { name: 'New practitioner' }).waitFor();
    await context.setOffline(true);
    await page.getByRole('link', { name: 'New practitioner' }).click();
    assert.match(await save(page, { Name: 'Dr. Berg' }), TEMP_ID);
    await context.setOffline(false);
    await page.waitForFunction(() => /^\d+$/.test(document.querySelector('[data-role="id"]')?.textContent ?? ''));
  });

  test('a client whom a pet refers to cannot be deleted, and the screen says why', async () => {
    const { page } = desk;
    await desk.go({ practice: 'riverside', view: 'client', id: real.client });
    page.once('dialog', (dialog) => dialog.accept());
    await page.getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('alert').getByText('Other records still refer to this one').waitFor();
    assert.equal(await shownId(page), real.client);
  });

  test('what the server refuses is parked; a person gives it up, and the record is back', async () => {
    const { page } = desk;
    await desk.go({ practice: 'riverside', view: 'client' });
    await page.getByRole('link', { name: 'New client' }).click();
    await save(page, { Name: 'Karl Nyman' });
    await page.waitForFunction(() => /^\d+$/.test(document.querySelector('[data-role="id"]')?.textContent ?? ''));
    const id = await shownId(page);
    await page.getByRole('switch', { name: 'Work offline' }).click();
    page.once('dialog', (dialog) => dialog.accept());
    await page.getByRole('button', { name: 'Delete' }).click();
    await status(page, /^Offline, 1 to send$/);
    // A pet that this device knows nothing of.
    const phone = await stage.device();
    await phone.go({ practice: 'riverside', view: 'client', id });
    await phone.page.getByRole('link', { name: 'Add pet' }).click();
    await save(phone.page, { Name: 'Max' });
    await status(phone.page, /^Up to date$/);
    await phone.context.close();

    await page.getByRole('link', { name: /^Queue/ }).click();
    await page.getByRole('switch', { name: 'Work offline' }).click();
    const parked = page.locator('[data-operation][data-state="parked"]');
    await parked.getByRole('button', { name: 'Try again' }).waitFor();
    assert.match(await parked.locator('.title').innerText(), /Delete of client/);
    page.once('dialog', (dialog) => dialog.accept());
    await parked.getByRole('button', { name: 'Give up' }).click();
    await page.getByText('Nothing waits. The server has everything.').waitFor();
    await desk.go({ practice: 'riverside', view: 'client' });
    await page.locator('.list').getByText('Karl Nyman').waitFor();
  });

  test('the other practice knows nothing of all this', async () => {
    const { page } = desk;
    await page.getByRole('link', { name: 'Hilltop' }).click();
    await page.getByText('No clients yet').waitFor();
    await status(page, /^(Up to date|Not synced yet)$/);
    await page.getByRole('link', { name: 'Riverside' }).click();
    await page.locator('.list').getByText('Ada Lindgren').waitFor();
    assert.deepEqual(desk.troubles, []);
  });
});

/** Fills a form for a new record, saves it, and gives the ID under which it is shown then. */
async function save(page, fields) {
  await fill(page, fields);
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.locator('[data-role="id"]').waitFor();
  return shownId(page);
}

async function change(page, fields) {
  await fill(page, fields);
  await page.getByRole('button', { name: 'Save changes' }).click();
  // The button waits for the next change once this one is stored.
  await page.locator('button:disabled', { hasText: 'Save changes' }).waitFor();
}

async function fill(page, fields) {
  for (const [label, value] of Object.entries(fields)) await page.locator('.panel').getByLabel(label).fill(value);
}

async function shownId(page) {
  return page.locator('[data-role="id"]').innerText();
}

/** The ID of the record that a reference points to. */
async function chosen(page, label) {
  return page.locator('.panel').getByLabel(label, { exact: false }).first().inputValue();
}

async function filled(page, label, value) {
  const field = await page.locator('.panel').getByLabel(label).elementHandle();
  await page.waitForFunction(([element, wanted]) => element.value === wanted, [field, value]);
}

/** Collects what the status says from now on. */
async function statusWords(page) {
  return page
    .locator('.sync')
    .getByRole('status')
    .evaluateHandle((element) => {
      const words = [];
      new MutationObserver(() => words.push(element.textContent.trim())).observe(element, {
        subtree: true,
        characterData: true,
        childList: true,
      });
      return words;
    });
}

async function status(page, words) {
  await page.locator('.sync').getByRole('status').filter({ hasText: words }).waitFor();
}
