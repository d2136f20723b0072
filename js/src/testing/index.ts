/**
 * For an app's own tests, in Node or in a browser: devices with storage in memory, a server in memory, and a clock that the
 * test moves. The engine is the module that ships; only what it finds around it is another.
 *
 * Needs `fake-indexeddb` among the app's development dependencies.
 */
import type { EntitySchema, Schema } from '../config.js';
import { badSetting, FieldSyncError } from '../errors.js';
import { enterPage, initSync, moduleUrl } from '../load.js';
import type { AnyRecords } from '../records.js';
import { TestClock } from './clock.js';
import { TestDevice } from './device.js';
import { TestServer } from './server.js';
import { TestStorage } from './storage.js';

export type { TestClock } from './clock.js';
export type { TestConfig, TestDevice } from './device.js';
export type { Endpoint, Scripted, TestAnswer, TestNetwork, TestRequest } from './network.js';
export type { RefusalRule, TestServer } from './server.js';
export type { Operation, Refusal } from './tenant.js';
export type { TrailRow } from './trail.js';

export interface TestWorldOptions<R = AnyRecords> {
  /** What server and clients know of the app's records. */
  schema: Schema<R>;
  /** What the server declares, where the app's records have another form there (`transform`). */
  serverSchema?: Schema;
  /** The tenant of whoever opens without naming one, and of what the server is asked for. Default `test`. */
  tenant?: string;
  /** The user of whoever opens without naming one. Default `anna`. */
  user?: string;
  /** When the clock begins, ms since 1970. Default: now. */
  now?: number;
  /** The wasm module, where its file is not found beside the package's own: bytes, or compiled. */
  wasm?: BufferSource | WebAssembly.Module;
}

export interface TestWorld {
  readonly server: TestServer;
  readonly clock: TestClock;
  /** A new device: a browser profile in which nothing is stored yet. */
  device(): TestDevice;
  /** Closes what was opened on the devices. `FieldSync.open` is that of the page again. */
  close(): Promise<void>;
}

/** A server, a clock, and no device yet. */
export async function createTestWorld<R = AnyRecords>(options: TestWorldOptions<R>): Promise<TestWorld> {
  const { tenant = 'test', user = 'anna', now, wasm } = options;
  const schema = options.schema as Schema<never>;
  const emptyStorage = await TestStorage.load();
  const compiled = await moduleFrom(wasm);
  // The pure functions are the page's, which an app's rules and tests call whether a device is in use or not.
  initSync(compiled);
  const clock = new TestClock(now);
  const declared = (options.serverSchema ?? schema) as Schema<never>;
  const turned = Object.entries<EntitySchema<never>>(declared.entities).find(([, { transform }]) => transform);
  if (turned) throw badSetting('serverSchema', `The server is given the form that '${turned[0]}' has on the wire.`);
  const server = new TestServer(declared, tenant, () => clock.now());
  const devices: TestDevice[] = [];
  return {
    server,
    clock,
    device: () => {
      const defaults = { tenant, user, schema, baseUrl: '/api/v1/sync', token: () => 'test', autoSync: false };
      const device = new TestDevice(compiled, emptyStorage(), server, clock, defaults);
      devices.push(device);
      return device;
    },
    close: async () => {
      enterPage();
      await Promise.all(devices.splice(0).map((device) => device.close()));
    },
  };
}

let found: Promise<WebAssembly.Module> | undefined;

/** The module that ships; compiled once, however many worlds there are. */
function moduleFrom(wasm: TestWorldOptions['wasm']): Promise<WebAssembly.Module> {
  if (wasm instanceof WebAssembly.Module) return Promise.resolve(wasm);
  if (wasm) return WebAssembly.compile(wasm);
  found ??= readModule().catch((cause: unknown) => {
    found = undefined;
    const message = "The module was not found: pass it as 'wasm' (the bytes of fieldsync/fieldsync.wasm).";
    throw new FieldSyncError('not_initialized', message, { cause });
  });
  return found;
}

async function readModule(): Promise<WebAssembly.Module> {
  const url = moduleUrl();
  if (url.protocol !== 'file:') return WebAssembly.compileStreaming(fetch(url));
  // Node. Not by an import, which a bundler for browsers would follow.
  type Node = { getBuiltinModule(name: 'node:fs/promises'): { readFile(file: URL): Promise<BufferSource> } };
  const { process } = globalThis as unknown as { process: Node };
  return WebAssembly.compile(await process.getBuiltinModule('node:fs/promises').readFile(url));
}
