/**
 * A scripted engine behind the boundary. It computes nothing: a test says what each method answers and reads what was
 * asked. It shows that the facades carry text across and errors back, not that the engine is right.
 */

/** A module whose engine answers by `script[method](...args)`, with the calls that were made. */
export function scriptedModule(script = {}) {
  const calls = [];
  const engines = [];
  const answer = (method, args) => {
    calls.push([method, ...args]);
    return script[method]?.(...args);
  };
  const methods = {};
  const Engine = {
    async open(config, hooks) {
      calls.push(['open', config]);
      await script.open?.(config, hooks);
      const engine = { hooks, ...methods };
      engines.push(engine);
      return engine;
    },
  };
  const later = 'create update delete get query count synced sync queue conflicts detect_conflicts resolve_conflict';
  const laterToo = 'resolve_temp_id pending_mappings map_temp_to_real update_references report close';
  for (const method of `${later} ${laterToo}`.split(' ')) {
    methods[method] = async (...args) => answer(method, args);
  }
  const now = 'abort set_offline status generate_temp_id extract_relationships build_dependency_graph';
  for (const method of `${now} topological_sort find_cycles validate_relationships`.split(' ')) {
    methods[method] = (...args) => answer(method, args);
  }
  const module = { Engine };
  for (const name of ['deep_equal', 'diff', 'merge', 'hash_data']) module[name] = (...args) => answer(name, args);
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
