/**
 * Delivers the engine's events to the app's listeners.
 *
 * A listener is foreign code: one that throws is reported as an uncaught error and stops nobody else. The list is
 * copied before delivery, so a listener may add or remove listeners, itself among them.
 */
import { invalid } from './input.js';
import type { EventName, SyncEvent, SyncEvents } from './shapes.js';

type Listener = (event: never) => void;

/** What can be listened to. */
const NAMES: { readonly [E in EventName]: true } = {
  status: true,
  progress: true,
  change: true,
  queue: true,
  conflict: true,
  audit: true,
  session: true,
  warning: true,
  alert: true,
  outdated: true,
};

export class Events {
  readonly #listeners = new Map<string, Set<Listener>>();
  /** Those that came too early. */
  #held: SyncEvent[] | undefined;

  /** Listens to one kind of event. The function that comes back ends it. */
  on<E extends EventName>(event: E, listener: (event: SyncEvents[E]) => void): () => void {
    if (!Object.hasOwn(NAMES, event)) throw invalid('event', `there is no event '${String(event)}'`);
    if (typeof listener !== 'function') throw invalid('listener', 'a listener is a function');
    // Wrapped, so that the same function registered twice is called twice and removed one at a time.
    const entry: Listener = (happened) => listener(happened);
    const set = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, set);
    set.add(entry);
    return () => set.delete(entry);
  }

  /** Keeps what comes until `release`: a listener may call an engine that does not answer yet. */
  hold(): void {
    this.#held ??= [];
  }

  /** Delivers what was kept, and what comes from now on. */
  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const event of held) this.deliver(event);
  }

  /** Hands one event to everyone who listens to its type. */
  deliver(event: SyncEvent): void {
    if (this.#held) {
      this.#held.push(event);
      return;
    }
    for (const listener of [...(this.#listeners.get(event.type) ?? [])]) {
      try {
        listener(event as never);
      } catch (cause) {
        reportUncaught(cause);
      }
    }
  }

  /** Forgets everyone: the client was closed. */
  clear(): void {
    this.#listeners.clear();
  }
}

/** Reports an error of the app's own code as the platform does for its event listeners. */
export function reportUncaught(cause: unknown): void {
  if (typeof reportError === 'function') reportError(cause);
  else
    queueMicrotask(() => {
      throw cause;
    });
}
