/**
 * What an app may hand over by mistake where it declares rules, decides conflicts, checks what is stored or patches
 * documents: each is refused with its code and its path, and nothing is done.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { PACKAGE } from './stand.mjs';

const from = (file) => import(pathToFileURL(join(PACKAGE, 'dist', file)));
const { createTestWorld } = await from('testing/index.js');
const { applyMergePatch, applyPatch, createMergePatch, createPatch } = await from('index.js');

const schema = { name: 'clinic', version: 1, entities: { pet: { conflicts: { fields: { dose: 'manual' } } } } };

/** What is declared of `pet`, and where that is wrong. What is no value of its kind is told by its entity alone. */
const DECLARATIONS = [
  [{ conflicts: { detect: [] } }, 'conflicts.detect'],
  [{ conflicts: { detect: ['version', 'version'] } }, 'conflicts.detect.1'],
  [{ conflicts: { detect: [{ timestamp: 'visit.at' }] } }, 'conflicts.detect.0.timestamp'],
  [{ conflicts: { detect: ['clock'] } }, undefined],
  [{ conflicts: { metadata: ['id'] } }, 'conflicts.metadata.0'],
  [{ conflicts: { metadata: ['a'], fields: { a: 'manual' } } }, 'conflicts.metadata.0'],
  [{ conflicts: { metadata: 'updatedAt' } }, undefined],
  [{ conflicts: { fields: { 'owner.name': 'manual' } } }, 'conflicts.fields.owner.name'],
  [{ conflicts: { fields: { lines: { list: '' } } } }, 'conflicts.fields.lines.list'],
  [{ conflicts: { fields: { dose: 'latest' } } }, undefined],
  [{ conflicts: { groups: [['street', 'owner.city']] } }, 'conflicts.groups.0'],
  [{ conflicts: { default: 'counter' } }, 'conflicts.default'],
  [{ conflicts: { kinds: { 'update-update': 'manual' } } }, 'conflicts.kinds.update-update'],
  [{ unique: ['email'] }, undefined],
  [{ unique: [['a'], ['lines[].id']] }, 'unique.1'],
  [{ unique: [[]] }, 'unique.0'],
  [{ fields: { dose: { type: 'number', min: 2, max: 1 } } }, 'fields.dose.max'],
  [{ fields: { dose: { type: 'number', enum: ['one'] } } }, 'fields.dose.enum'],
  [{ fields: { 'lines[].id': { required: true } } }, 'fields.lines[].id'],
  [{ fields: { name: { pattern: 'R.*' } } }, undefined],
];

const SETTINGS = [
  [{ rules: { dog: () => 'merge' } }, 'rules.dog'],
  [{ rules: { pet: 'merge' } }, 'rules.pet'],
  [{ rules: { pet: () => 'merge' } }, 'rules.pet'],
  [{ rules: () => 'merge' }, 'rules'],
  [{ validators: { pet: null } }, 'validators.pet'],
  [{ ruleTimeoutMs: 99 }, 'ruleTimeoutMs'],
  [{ ruleTimeoutMs: '5s' }, 'ruleTimeoutMs'],
];

/** Calls of a client with an open conflict, and what each is refused for. */
const CALLS = {
  'conflicts.list({ kind })': [({ conflicts }) => conflicts.list({ kind: 'both' }), 'kind'],
  'conflicts.list({ entity: undefined })': [({ conflicts }) => conflicts.list({ entity: undefined }), 'entity'],
  'conflicts.list({ limit: 0 })': [({ conflicts }) => conflicts.list({ limit: 0 }), 'limit'],
  'conflicts.statistics({ limit })': [({ conflicts }) => conflicts.statistics({ limit: 1 }), 'limit'],
  'conflicts.get': [({ conflicts }) => conflicts.get('1'), 'conflict'],
  'conflicts.history': [({ conflicts }) => conflicts.history({ entity: 'pet' }), 'record'],
  'conflicts.preview': [({ conflicts }, open) => conflicts.preview(open, 'best'), 'type'],
  'conflicts.preview, a person without a decision': [
    ({ conflicts }, open) => conflicts.preview(open, 'manual'),
    'type',
  ],
  'resolveConflict with data that is not there': [
    ({ engine }, open) => engine.resolveConflict(open, { type: 'merge', mergedData: null }),
    'mergedData',
  ],
  'resolveConflict with data that is not wanted': [
    ({ engine }, open) => engine.resolveConflict(open, { type: 'server-wins', mergedData: {} }),
    'type',
  ],
  'conflicts.bulkResolve of what is decided': [
    ({ conflicts }) => conflicts.bulkResolve('server-wins', { state: 'resolved' }),
    'state',
  ],
  'conflicts.bulkResolve with a misspelt dryRun': [
    ({ conflicts }) => conflicts.bulkResolve('server-wins', {}, { dryrun: true }),
    'dryrun',
  ],
  'integrity.repair with a misspelt dryRun': [({ integrity }) => integrity.repair({ dryrun: true }), 'dryrun'],
  'integrity.repair': [({ integrity }) => integrity.repair({ dryRun: 'yes' }), 'dryRun'],
  'integrity.quarantine({ limit: 0 })': [({ integrity }) => integrity.quarantine({ limit: 0 }), 'limit'],
  'integrity.quarantine({ after })': [
    ({ integrity }) => integrity.quarantine({ after: { entity: 'pet' } }),
    'after.id',
  ],
  'integrity.quarantine with what is no option': [({ integrity }) => integrity.quarantine({ entity: 'pet' }), 'entity'],
  'relationships.resolveOrphans with a misspelt dryRun': [
    ({ relationships }) => relationships.resolveOrphans('delete', { dryrun: true }),
    'dryrun',
  ],
};

/** Calls that take options last, with what they need before. */
const WITH_OPTIONS = {
  'engine.sync': [],
  'engine.syncToServer': [],
  'engine.syncFromServer': [],
  'engine.bidirectionalSync': [],
  'engine.syncEntityType': ['pet'],
  'engine.processSyncBatch': [['0190a1b2-0000-7000-8000-000000000001']],
  'engine.detectConflicts': ['0190a1b2-0000-7000-8000-000000000001'],
  'engine.resolveConflict': [1, 'server-wins'],
  'conflicts.history': [],
  'conflicts.bulkResolve': ['server-wins', {}],
  'queue.discard': ['0190a1b2-0000-7000-8000-000000000001'],
  'audit.verify': [],
  'integrity.quarantine': [],
  'integrity.checkIntegrity': [],
  'relationships.checkReferentialIntegrity': [],
  'relationships.findOrphanedEntities': [],
  'relationships.resolveOrphans': ['keep'],
  wipe: [],
};

/** More that is refused, by the path that is to blame. */
const MORE = {
  'an unknown member of a strategy': [
    ({ engine }, open) => engine.resolveConflict(open, { type: 'merge', mergeData: { dose: 7 } }),
    'mergeData',
  ],
  'data that is undefined': [
    ({ conflicts }, open) => conflicts.preview(open, { type: 'merge', mergedData: undefined }),
    'mergedData',
  ],
  'no strategy': [({ engine }, open) => engine.resolveConflict(open, null), 'strategy'],
  'a filter that is null': [({ conflicts }) => conflicts.list(null), 'filter'],
  'a filter that is a text': [({ conflicts }) => conflicts.bulkResolve('server-wins', ''), 'filter'],
  'a dry run that is no truth value': [
    ({ conflicts }) => conflicts.bulkResolve('server-wins', {}, { dryRun: null }),
    'dryRun',
  ],
  'progress for nobody': [
    ({ conflicts }) => conflicts.bulkResolve('server-wins', {}, { onProgress: 'x' }),
    'onProgress',
  ],
  'a signal that is none': [({ engine }) => engine.sync({ signal: 'x' }), 'signal'],
  'force that is a text': [(client) => client.wipe({ force: 'no' }), 'force'],
  'a misspelt reason': [(client) => client.wipe({ raeson: 'sold' }), 'raeson'],
  'operations that are no list': [({ engine }) => engine.processSyncBatch(null), 'operations'],
  'a graph of nothing': [({ relationships }) => relationships.buildDependencyGraph(null), 'operations'],
  'no mapping': [({ tempIds }) => tempIds.resolveDependentOperations(), 'tempId'],
  'an event that is none': [(client) => client.on('conflicts', () => undefined), 'event'],
  'a listener that is none': [(client) => client.on('conflict', 'x'), 'listener'],
};

const PATCHES = [
  [() => applyPatch({}, { op: 'add' }), 'patch_failed', ''],
  [
    () =>
      applyPatch({ a: 1 }, [
        { op: 'add', path: '/b', value: 1 },
        { op: 'remove', path: '/c' },
      ]),
    'patch_failed',
    '/1',
  ],
  [() => applyPatch({}, [{ op: 'add', path: '/a', value: undefined }]), 'patch_failed', '/0'],
  [() => applyPatch({}, [{ op: 'put', path: '/a', value: 1 }]), 'patch_failed', '/0'],
  [() => createMergePatch({ a: { b: 1 } }, { a: { b: null } }), 'patch_failed', '/a/b'],
  [() => createPatch({}, { a: () => 1 }), 'invalid_value', '/a'],
  [() => applyMergePatch({ a: Number.NaN }, {}), 'invalid_value', '/a'],
];

describe('what an app hands over by mistake', { timeout: 60_000 }, () => {
  let world;
  let db;
  before(async () => {
    world = await createTestWorld({ schema, now: 1_800_000_000_000 });
    const device = world.device();
    device.use();
    db = await device.open();
    const id = world.server.put('pet', { name: 'Rex', dose: 1 });
    await db.engine.sync();
    await db.update('pet', id, { dose: 2 });
    world.server.put('pet', { dose: 3 }, { id });
    await db.engine.sync();
  });
  after(() => world.close());

  test('a declaration is refused with its path', async () => {
    for (const [pet, path] of DECLARATIONS) {
      const opened = world.device().open({ schema: { ...schema, entities: { pet } } });
      const whole = ['schema.entities.pet', path].filter(Boolean).join('.');
      await assert.rejects(opened, (error) => is(error, 'invalid_schema', whole), JSON.stringify(pet));
    }
  });

  test('options are an object, with the members that the call has', async () => {
    for (const [path, args] of Object.entries(WITH_OPTIONS)) {
      const [method, room] = path.split('.').reverse();
      const on = room === undefined ? db : db[room];
      for (const [options, place] of [
        [null, 'options'],
        ['x', 'options'],
        [[], 'options'],
        [{ colour: 'red' }, 'colour'],
      ]) {
        const call = on[method](...args, options);
        await assert.rejects(call, (error) => is(error, 'invalid_value', place), `${path} ${JSON.stringify(options)}`);
      }
    }
    assert.equal((await db.queue.list()).length, 1, 'nothing was done');
  });

  test('what would be taken for something else is refused', async () => {
    const [open] = await db.conflicts.list();
    for (const [name, [call, path]] of Object.entries(MORE)) {
      await assert.rejects(
        async () => call(db, open),
        (error) => is(error, 'invalid_value', path),
        name,
      );
    }
    assert.equal((await db.conflicts.get(open.id)).state, 'open');
  });

  test('a setting is refused with its path', async () => {
    for (const [settings, path] of SETTINGS) {
      await assert.rejects(world.device().open(settings), (error) => is(error, 'bad_setting', path), path);
    }
  });

  test('a call is refused with its path, and what is stored stays', async () => {
    const stored = async () => [await db.conflicts.list(), await db.queue.list(), await db.query('pet')];
    const before = await stored();
    const [[open]] = before;
    for (const [name, [call, path]] of Object.entries(CALLS)) {
      await assert.rejects(call(db, open), (error) => is(error, 'invalid_value', path), name);
    }
    assert.equal(open.state, 'open');
    assert.deepEqual(await stored(), before);
  });

  test('a patch is refused with its place', () => {
    for (const [call, code, path] of PATCHES) {
      assert.throws(call, (error) => is(error, code, path), String(call));
    }
  });
});

/** Whether it is this error; says what it is otherwise. */
function is(error, code, path) {
  assert.deepEqual([error.name, error.code, error.details?.path], ['FieldSyncError', code, path]);
  return true;
}
