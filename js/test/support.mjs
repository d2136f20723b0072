/**
 * A scripted engine behind the boundary. It computes nothing: a test says what each method answers and reads what was
 * asked. It shows that the facades carry text across and errors back, not that the engine is right.
 */

/** A module whose engine answers by `script[method](...args)`, or by `null`, with the calls that were made. */
export function scriptedModule(script = {}) {
  const calls = [];
  const engines = [];
  const answer = (method, args) => {
    calls.push([method, ...args]);
    return script[method]?.(...args);
  };
  const methods = {
    call: async (method, ...args) => (await answer(method, args)) ?? 'null',
    now: (method, ...args) => answer(method, args) ?? 'null',
    sync: async (...args) => answer('sync', args),
  };
  const Engine = {
    async open(config, hooks) {
      calls.push(['open', config]);
      await script.open?.(config, hooks);
      const engine = { hooks, ...methods };
      engines.push(engine);
      return engine;
    },
  };
  const module = { Engine, compute: (name, ...args) => answer(name, args) ?? 'null' };
  return { module, calls, engines };
}

/** A fault as the boundary rejects with it. */
export const fault = (code, more = {}) => ({ code, message: `says ${code}`, retryable: false, details: {}, ...more });

export const config = {
  tenant: 'north',
  user: 'ann',
  baseUrl: 'http://localhost/api/v1/sync',
  schema: { name: 'clinic', version: 1, entities: { pet: {} } },
};
