/**
 * The main job on real input: `node tests/replay/run.mjs DIR [--seed N]`, started by `cargo xtask replay DIR`.
 *
 * One browser, with its network off, creates every record of the folder under temporary IDs, in an order in which
 * children come before their parents too. Then it goes online and sends everything. A second, empty browser downloads
 * everything. Then the folder, both browsers and the server's database file are compared.
 */
import { parseArgs } from 'node:util';
import { differences } from './compare.mjs';
import { readDatabase } from './database.mjs';
import { drafts, fileKey, readFolder, shuffled, syncSchema } from './folder.mjs';
import { openDevice, openStage, servePage, startServer } from './stage.mjs';
import { serverFaults, serverMapping, settledFaults, storedCopy, strangerFaults } from './verify.mjs';

const TENANT = 'replay';
const MOST_FAULTS_SHOWN = 20;

const { values, positionals } = given();
const [path, ...more] = positionals;
if (path === undefined || more.length > 0) refuse('usage: cargo xtask replay DIR [--seed N]');
const seed = Number(values.seed);
if (!Number.isSafeInteger(seed)) refuse(`--seed takes a whole number, not '${values.seed}'`);
const folder = await readFolder(path).catch((error) => refuse(error.message));

const stage = await openStage();
let faults;
try {
  faults = await replay(folder, seed);
} finally {
  await stage.close();
}
for (const fault of faults.slice(0, MOST_FAULTS_SHOWN)) console.log(`  ${fault}`);
if (faults.length > MOST_FAULTS_SHOWN) console.log(`  and ${faults.length - MOST_FAULTS_SHOWN} more`);
if (faults.length > 0) {
  console.log(`replay: ${faults.length} differences`);
  process.exitCode = 1;
} else {
  console.log(
    'replay: folder, both browsers and the database file are the same graph, with the same counts and values',
  );
}

function given() {
  try {
    return parseArgs({ allowPositionals: true, options: { seed: { type: 'string', default: '1' } } });
  } catch (cause) {
    // Its first line says what is wrong; advice on writing command lines may follow.
    return refuse(cause.message.split('\n')[0]);
  }
}

/** What somebody asked for makes no sense: nothing is begun. */
function refuse(why) {
  console.error(`replay: ${why}`);
  process.exit(2);
}

async function replay(folder, seed) {
  const schema = syncSchema(folder);
  const site = await servePage(stage);
  const server = await startServer(stage, schema, site.address);
  const device = async (user) => {
    const opened = await openDevice(stage, site.address, server.address);
    const settings = { tenant: TENANT, user, baseUrl: `${server.address}/api/v1/sync`, schema };
    await opened.page.evaluate((config) => globalThis.replay.open(config), {
      ...settings,
      token: await server.token(TENANT, user),
    });
    return opened;
  };

  const order = shuffled(folder, seed);
  const entities = Object.keys(folder.entities);
  console.log(`replay: ${folder.name}, ${order.length} records of ${entities.length} entities, seed ${seed}`);
  const first = await device('writer');
  const faults = [];
  const fault = (where, found) => faults.push(...found.map((text) => `${where}: ${text}`));

  // Offline: everything is created.
  await first.context.setOffline(true);
  const temp = await issueTempIds(first.page, order);
  const tempIdOf = (entity, id) => temp.get(fileKey(entity, id));
  const before = first.traffic();
  const enqueued = await call(first, 'enqueue', drafts(folder, order, tempIdOf));
  const queued = await call(first, 'queue');
  if (queued.length !== order.length) fault('queue', [`${queued.length} items for ${order.length} creates`]);
  const ids = (entity, id) => tempIdOf(entity, id);
  fault('first browser, offline', differences(withTextKeys(folder), await call(first, 'records'), ids));
  const offline = first.traffic();
  if (offline.requests !== before.requests) fault('first browser, offline', ['it reached the server']);

  // Online: everything is sent.
  await first.context.setOffline(false);
  const upload = await call(first, 'session', 'syncToServer');
  fault('upload', unsuccessful(upload.result, order.length));
  const sent = first.traffic();
  const afterUpload = await call(first, 'records');
  const firstIds = await resolved(first, order, tempIdOf);

  // What the others have comes down; here it is only what this browser sent.
  const echo = await call(first, 'session', 'syncFromServer');
  fault('echo', unsuccessful(echo.result, 0));
  const afterEcho = await call(first, 'records');
  const byTempId = await call(
    first,
    'look',
    order.map(({ entity, id }) => ({ entity, id: tempIdOf(entity, id) })),
  );
  const report = await call(first, 'report');

  // A second, empty browser.
  const second = await device('reader');
  const download = await call(second, 'session', 'syncFromServer');
  fault('download', unsuccessful(download.result, 0));
  const fetched = second.traffic();
  const downloaded = await call(second, 'records');

  const raw = {};
  for (const [where, opened] of Object.entries({ 'first browser': first, 'second browser': second })) {
    await call(opened, 'close');
    raw[where] = await call(opened, 'raw');
    fault(`${where}, IndexedDB`, settledFaults(raw[where]));
    fault(where, opened.troubles);
  }
  fault('second browser, IndexedDB', strangerFaults(raw['second browser']));
  await server.stop();
  const database = await readDatabase(server.database, TENANT);
  const serverIds = serverMapping(database, tempIdOf);

  fault('server', serverFaults(folder, database, tempIdOf));
  fault('first browser, after the upload', differences(folder, afterUpload, firstIds));
  fault('first browser, after the download', differences(folder, afterEcho, firstIds));
  fault('second browser', differences(folder, downloaded, serverIds));
  for (const [where, rows] of Object.entries(raw)) {
    fault(`${where}, IndexedDB`, differences(folder, storedCopy(rows), serverIds));
  }
  fault(
    'mapping',
    order.flatMap(({ entity, id }) => {
      const [here, there] = [firstIds(entity, id), serverIds(entity, id)];
      return here === there ? [] : [`${fileKey(entity, id)}: ${here} in the browser, ${there} on the server`];
    }),
  );
  fault(
    'first browser, by temp ID',
    order.flatMap(({ entity, id }, index) =>
      byTempId[index]?.id === serverIds(entity, id) ? [] : [`${fileKey(entity, id)}: found ${byTempId[index]?.id}`],
    ),
  );

  const print = (what, seconds, rest) => console.log(`  ${what.padEnd(9)}${seconds.toFixed(2).padStart(8)} s  ${rest}`);
  print(
    'enqueue',
    enqueued,
    `${order.length} operations, ${(order.length / enqueued).toFixed(0)} saves a second, one after another`,
  );
  print('upload', upload.seconds, shownTraffic(sent));
  print('download', download.seconds, `${order.length} records, ${shownTraffic(fetched)}`);
  console.log(`  transactions of the first browser: ${report.transactions}; operations sent: ${report.operationsUp}`);
  return faults;
}

/** Calls a function of the page. */
function call({ page }, name, argument) {
  return page.evaluate(([name, argument]) => globalThis.replay[name](argument), [name, argument]);
}

/** A temp ID for every record, before any is created: references may point ahead. */
async function issueTempIds(page, order) {
  const issued = await page.evaluate(
    (list) => globalThis.replay.issue(list),
    order.map(({ entity }) => entity),
  );
  return new Map(order.map(({ entity, id }, index) => [fileKey(entity, id), issued[index]]));
}

/** The mapping that the first browser shows. */
async function resolved(device, order, tempIdOf) {
  const real = await call(
    device,
    'resolve',
    order.map(({ entity, id }) => tempIdOf(entity, id)),
  );
  const byFile = new Map(order.map(({ entity, id }, index) => [fileKey(entity, id), real[index]]));
  return (entity, id) => byFile.get(fileKey(entity, id));
}

/** Before the upload every ID is a temporary one, whatever the server will issue. */
function withTextKeys({ name, entities }) {
  const text = Object.entries(entities).map(([entity, declared]) => [entity, { ...declared, key: 'text' }]);
  return { name, entities: Object.fromEntries(text) };
}

function unsuccessful({ success, synced, failed, conflicts, errors }, wanted) {
  if (success && failed === 0 && conflicts === 0 && (wanted === 0 || synced === wanted)) return [];
  return [
    `success ${success}, synced ${synced} of ${wanted}, failed ${failed}, conflicts ${conflicts}, ${JSON.stringify(errors)}`,
  ];
}

function shownTraffic({ requests, bytesUp, bytesDown }) {
  return `${requests} requests, ${bytesUp} bytes up, ${bytesDown} bytes down`;
}
