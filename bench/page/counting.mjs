/**
 * What a job does, seen from below the package: rows that IndexedDB gave it, and the memory of the module. Imported before
 * the package is loaded, so that nothing escapes it.
 */

const seen = { rows: 0, memory: undefined };

/** Rows that a request brought: those of a list, or one for each stop of a cursor. */
function count({ result }) {
  if (Array.isArray(result)) seen.rows += result.length;
  else if (result !== undefined && result !== null) seen.rows += 1;
}

for (const { prototype } of [IDBObjectStore, IDBIndex]) {
  for (const method of ['get', 'getAll', 'openCursor']) {
    const original = prototype[method];
    prototype[method] = function (...args) {
      const request = original.apply(this, args);
      request.addEventListener('success', () => count(request));
      return request;
    };
  }
}

for (const method of ['instantiate', 'instantiateStreaming']) {
  const original = WebAssembly[method];
  WebAssembly[method] = async (...args) => {
    const made = await original.apply(WebAssembly, args);
    seen.memory = (made.instance ?? made).exports.memory;
    return made;
  };
}

/** Bytes of the module's memory, which only ever grows. */
export function memoryBytes() {
  return seen.memory?.buffer.byteLength ?? 0;
}

/** A job's milliseconds, what it gave, and what it cost: `reads` and `commits` are transactions, `rows` were read. */
export async function measured(client, job) {
  const [before, rows, memory] = [await client.engine.report(), seen.rows, memoryBytes()];
  const start = performance.now();
  const gave = await job();
  const took = performance.now() - start;
  const after = await client.engine.report();
  const more = (name) => after[name] - before[name];
  return {
    gave,
    took,
    reads: more('reads'),
    rows: seen.rows - rows,
    commits: more('transactions'),
    written: more('rowsWritten'),
    grew: memoryBytes() - memory,
  };
}
