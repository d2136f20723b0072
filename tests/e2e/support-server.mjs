/**
 * The reference server as a process that may die: always on the same database file, with the same key, at the same
 * address. `start`, `kill`, `start` again is one life of that file.
 */
import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { copyFile, mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { required } from '../environment.mjs';
import { readDatabase } from '../replay/database.mjs';

const START_LIMIT_MS = 60_000;

/** A server that is not started yet, on a new database file or on a copy of `present`. The stage stops it at its end. */
export async function prepareServer(stage, schema, present) {
  const program = required('FIELDSYNC_SERVER_BIN');
  const folder = await mkdtemp(join(stage.folder, 'server-'));
  const files = {
    database: join(folder, 'server.sqlite'),
    schema: join(folder, 'schema.json'),
    key: join(folder, 'key'),
  };
  if (present !== undefined) await copyFile(present, files.database);
  await writeFile(files.schema, JSON.stringify(schema));
  await writeFile(files.key, randomBytes(32).toString('hex'), { mode: 0o600 });
  let address;
  let running;

  /** `gate`: where the process is to die by itself, as FIELDSYNC_GATE takes it. */
  async function start(gate) {
    const listen = address === undefined ? '127.0.0.1:0' : new URL(address).host;
    const stored = ['--database', files.database, '--schema', files.schema, '--key-file', files.key];
    const env = { ...process.env, RUST_LOG: 'warn' };
    if (gate !== undefined) env.FIELDSYNC_GATE = gate;
    const child = spawn(program, ['serve', ...stored, '--listen', listen], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env,
    });
    running = { child, exited: once(child, 'exit') };
    address = await new Promise((resolve, reject) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        const match = /listening on (http:\S+)/.exec(line);
        if (match) resolve(match[1]);
      });
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`the server ended with ${code} before it listened`)));
      const limit = AbortSignal.timeout(START_LIMIT_MS);
      limit.addEventListener('abort', () => reject(new Error('the server did not say where it listens')));
    });
    return address;
  }

  /** Waits for the end, whatever brings it, and tells the signal that did. */
  async function died() {
    const [, signal] = await running.exited;
    running = undefined;
    return signal;
  }

  async function kill() {
    running.child.kill('SIGKILL');
    return died();
  }

  /** Ends it cleanly, so that the file holds everything. */
  async function stop() {
    if (running === undefined) return;
    running.child.kill('SIGTERM');
    const [code, signal] = await running.exited;
    running = undefined;
    if (code !== 0) throw new Error(`the server did not stop cleanly: ${signal ?? code}`);
  }
  stage.onClose(stop);

  async function token(tenant, user, roles = []) {
    const { stdout } = await promisify(execFile)(program, [
      ...['token', '--key-file', files.key],
      ...['--tenant', tenant, '--user', user],
      ...roles.flatMap((role) => ['--role', role]),
    ]);
    return stdout.trim();
  }

  /** Stops the server and reads its file. */
  async function content(tenant) {
    await stop();
    return readDatabase(files.database, tenant);
  }

  return { start, died, kill, stop, token, content, address: () => address, database: files.database };
}

/** What is wrong with change rows and receipts if each of these operations was to be applied exactly once. */
export function onceFaults(database, operations) {
  const faults = [];
  const count = (rows) => {
    const times = new Map();
    for (const { operation } of rows) times.set(operation, (times.get(operation) ?? 0) + 1);
    return times;
  };
  const [changes, receipts] = [count(database.changes), count(database.receipts)];
  for (const operation of operations) {
    if (changes.get(operation) !== 1) faults.push(`${operation}: ${changes.get(operation) ?? 0} change rows`);
    if (receipts.get(operation) !== 1) faults.push(`${operation}: ${receipts.get(operation) ?? 0} receipts`);
  }
  if (changes.size !== operations.length) faults.push(`${changes.size} operations changed something`);
  if (receipts.size !== operations.length) faults.push(`${receipts.size} operations have a receipt`);
  if (database.integrity !== 'ok') faults.push(database.integrity);
  if (database.foreignKeys !== 0) faults.push(`${database.foreignKeys} references lead nowhere`);
  return faults;
}
