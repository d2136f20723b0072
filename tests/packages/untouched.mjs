/**
 * Imports the module that the first argument names, and prints as JSON what that did to this process: which of the
 * world's globals it looked at, what it left on the global object, and what it keeps running.
 *
 * A server imports what a page uses. There, looking for a browser's things is a fault in waiting.
 */
const WATCHED = [
  ...['document', 'fetch', 'indexedDB', 'localStorage', 'location', 'navigator', 'self', 'sessionStorage', 'window'],
  ...['addEventListener', 'BroadcastChannel', 'MessageChannel', 'WebAssembly', 'Worker', 'XMLHttpRequest'],
  ...['queueMicrotask', 'setImmediate', 'setInterval', 'setTimeout', 'crypto', 'performance', 'process'],
];

const { process } = globalThis;
const touched = new Set();
for (const name of WATCHED) {
  const value = globalThis[name];
  const get = () => {
    touched.add(name);
    return value;
  };
  Object.defineProperty(globalThis, name, { configurable: true, get, set: () => touched.add(name) });
}
const before = new Set(Reflect.ownKeys(globalThis));
const idle = process.getActiveResourcesInfo().length;

await import(process.argv[2]);

const seen = [...touched].sort();
const left = Reflect.ownKeys(globalThis).filter((key) => !before.has(key));
const running = process.getActiveResourcesInfo().slice(idle);
process.stdout.write(JSON.stringify({ touched: seen, left: left.map(String), running }), () => process.exit());
