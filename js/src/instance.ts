/**
 * One instance of the wasm module, and its death.
 *
 * A panic, memory that ran out, an exhausted stack: whatever exception leaves the instance has run past its destructors,
 * so that nothing in its memory can be relied on. It is dead then. What it was called by next (timers, events, promises)
 * must not reach it any more, because the half of it that still works would go on sending; and what it held in the
 * browser must be let go: a transaction that lacks its second half would be committed, and a lock would be held for ever.
 */
import type { WasmModule } from './boundary.js';
import { deadInstance, type FieldSyncError } from './errors.js';

type Exported = (...args: unknown[]) => unknown;

/** What a dead instance answers: where the glue expects several results, none of them is there. */
const NOTHING: readonly never[] = Object.freeze([]);

export class Instance {
  /** What it offers. It is there before the instance is, which its glue makes. */
  module!: WasmModule;
  /** Makes the one that follows when this one is dead. */
  readonly renew: () => Instance;
  #death: FieldSyncError | undefined;
  #held: WebAssembly.Table | undefined;
  readonly #mourners = new Set<(death: FieldSyncError) => void>();

  constructor(renew: () => Instance) {
    this.renew = renew;
  }

  /** Why it is dead. */
  get death(): FieldSyncError | undefined {
    return this.#death;
  }

  /** The exports with an eye on each call: all ways into the instance lead through here. */
  guard(exports: WebAssembly.Exports): WebAssembly.Exports {
    const guarded: WebAssembly.Exports = {};
    for (const [name, value] of Object.entries(exports)) {
      guarded[name] = typeof value === 'function' ? this.#guarded(value as Exported) : value;
    }
    // Every JavaScript object that the instance holds is in this table.
    this.#held = exports.__wbindgen_externrefs as WebAssembly.Table | undefined;
    return guarded;
  }

  #guarded(call: Exported): Exported {
    return (...args) => {
      if (this.#death) return NOTHING;
      try {
        return call(...args);
      } catch (cause) {
        this.die(cause);
        throw cause;
      }
    };
  }

  /** Tells of its death, at once, until the function that comes back is called. */
  onDeath(mourner: (death: FieldSyncError) => void): () => void {
    this.#mourners.add(mourner);
    return () => this.#mourners.delete(mourner);
  }

  /** What it holds in the browser, transactions first: a closed database would wait for what they have asked for. */
  #holdings(): unknown[] {
    const held: unknown[] = [];
    for (let at = 0; at < (this.#held?.length ?? 0); at += 1) held.push(this.#held?.get(at));
    const order = (one: unknown): number => (is(one, 'IDBTransaction') ? 0 : 1);
    return held.sort((one, other) => order(one) - order(other));
  }

  /** It trapped. What it held is let go before anybody is told. */
  die(cause: unknown): void {
    if (this.#death) return;
    const death = deadInstance(cause);
    this.#death = death;
    for (const held of this.#holdings()) letGo(held);
    const mourners = [...this.#mourners];
    this.#mourners.clear();
    for (const mourner of mourners) mourner(death);
  }
}

/** Ends what would outlive the instance. What is not found in a realm, no instance can hold there. */
function letGo(held: unknown): void {
  try {
    if (is(held, 'IDBTransaction')) (held as IDBTransaction).abort();
    else if (is(held, 'IDBDatabase') || is(held, 'BroadcastChannel')) (held as IDBDatabase | BroadcastChannel).close();
    // A lock that it holds or waits for, a request under way.
    else if (is(held, 'AbortController')) (held as AbortController).abort();
  } catch {
    // It has ended already.
  }
}

function is(held: unknown, name: string): boolean {
  const type = (globalThis as Record<string, unknown>)[name];
  return typeof type === 'function' && held instanceof type;
}
