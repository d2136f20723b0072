/** What a replay enqueues: temp IDs everywhere, nothing else changed, and an order that puts children first too. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { drafts, fileKey, readFolder, shuffled, syncSchema } from './folder.mjs';

const CLINIC = fileURLToPath(new URL('clinic', import.meta.url));
const temp = (entity, id) => `temp_${entity}_${id}`;

test('the shipped folder has what a replay must survive', async () => {
  const clinic = await readFolder(CLINIC);
  const schema = syncSchema(clinic);
  assert.equal(schema.entities.practitioner.key, 'text');
  assert.equal(schema.entities.client.key, 'integer');
  assert.equal(schema.entities.note.references.followUpOf, 'note', 'a self reference');
  assert.equal(schema.entities.appointment.references['attendees[].practitionerId'], 'practitioner', 'a nested one');
});

test('every reference, nested ones too, becomes a temp ID and everything else stays', async () => {
  const clinic = await readFolder(CLINIC);
  const order = shuffled(clinic, 1);
  const all = new Map(drafts(clinic, order, temp).map(({ entity, data }) => [`${entity} ${data.id}`, data]));
  const source = clinic.entities.appointment.records.find(({ id }) => id === 103);
  assert.deepEqual(all.get('appointment temp_appointment_103'), {
    ...source,
    id: 'temp_appointment_103',
    petId: 'temp_pet_4',
    attendees: [
      { practitionerId: 'temp_practitioner_dr-lindqvist', lead: true },
      { practitionerId: 'temp_practitioner_nurse-12', lead: false },
      { practitionerId: 'temp_practitioner_nurse-07', lead: false },
    ],
  });
  assert.equal(all.get('note temp_note_14').appointmentId, null, 'null refers to nothing');
});

test('the order holds every record once, depends on the seed alone, and puts children before parents', async () => {
  const clinic = await readFolder(CLINIC);
  const order = shuffled(clinic, 7);
  const keys = order.map(({ entity, id }) => fileKey(entity, id));
  const total = Object.values(clinic.entities).reduce((sum, { records }) => sum + records.length, 0);
  assert.equal(new Set(keys).size, total);
  assert.deepEqual(order, shuffled(clinic, 7));
  assert.notDeepEqual(order, shuffled(clinic, 8));
  const early = clinic.entities.note.records.filter(
    ({ id, appointmentId }) =>
      appointmentId !== null && keys.indexOf(fileKey('note', id)) < keys.indexOf(fileKey('appointment', appointmentId)),
  );
  assert.ok(early.length > 0, 'some note comes before its appointment');
});

test('a folder that contradicts itself is refused', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'replay-'));
  context.after(() => rm(folder, { recursive: true }));
  const write = async (records, promised = records.length) => {
    const entities = { a: { references: { next: 'a' }, records: promised } };
    await writeFile(join(folder, 'schema.json'), JSON.stringify({ name: 'x', entities }));
    await writeFile(join(folder, 'a.ndjson'), records.map((record) => JSON.stringify(record)).join('\n'));
    return readFolder(folder);
  };
  await write([{ id: 1, next: 1 }]);
  await assert.rejects(write([{ id: 1 }, { id: 1 }]), /twice/);
  await assert.rejects(write([{ id: 1, next: 2 }]), /leads to no a/);
  await assert.rejects(write([{ id: 1 }], 2), /promises 2 records/);
  await assert.rejects(write([{ name: 'x' }]), /needs an id/);
});

test('a folder that cannot be read is refused with the name of its file, and the line', async (context) => {
  const root = await mkdtemp(join(tmpdir(), 'replay-'));
  context.after(() => rm(root, { recursive: true }));
  const one = JSON.stringify({ name: 'x', entities: { a: {} } });
  const CASES = {
    'no schema': [{}, /^\S+ is no folder with a schema\.json$/],
    'a broken schema': [{ 'schema.json': '{' }, /schema\.json is not JSON: ./],
    'a schema that is no object': [{ 'schema.json': 'null' }, /schema\.json declares no 'entities'$/],
    'a schema without entities': [{ 'schema.json': '{"name":"x"}' }, /schema\.json declares no 'entities'$/],
    'an entity that is nothing': [
      { 'schema.json': '{"name":"x","entities":{"a":null}}' },
      /schema\.json does not declare 'a' as an object/,
    ],
    'no file of an entity': [{ 'schema.json': one }, /a\.ndjson is not there, and schema\.json names the entity 'a'$/],
    'a broken line': [{ 'schema.json': one, 'a.ndjson': '{"id":1}\n\n{"id":' }, /a\.ndjson, line 3, is not JSON: ./],
    'a line that is no record': [
      { 'schema.json': one, 'a.ndjson': '{"id":1}\nnull\n' },
      /a\.ndjson, line 2, is not a JSON object$/,
    ],
    'no record': [{ 'schema.json': one, 'a.ndjson': '\n' }, /^\S+ has no record: there is nothing to replay$/],
    'no entity': [{ 'schema.json': '{"name":"x","entities":{}}' }, /^\S+ has no record: there is nothing to replay$/],
  };
  for (const [what, [files, message]] of Object.entries(CASES)) {
    const folder = join(root, what.replaceAll(' ', '-'));
    await mkdir(folder);
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
    await assert.rejects(readFolder(folder), { message }, what);
  }
});
