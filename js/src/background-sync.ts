/**
 * Asks the browser to wake the app's service worker when the network is back, for the case that no page lives by then.
 *
 * Only where the page itself may not get to send what waits: a session failed, or the page is hidden with something
 * unsent and may never be shown again. A page that is being closed is too late: the browser takes a tag only from one that
 * lives. And not for every save: a tag that is registered while all is well fires at once, and would start a worker.
 */
import type { Events } from './events.js';
import type { SyncEvents } from './shapes.js';

/** The tag that `installFieldSync` listens to. One for all users: who is signed in is for the worker to say. */
export const SYNC_TAG = 'fieldsync';

/** What the DOM library does not know yet: Chromium alone has it. */
type SyncRegistration = ServiceWorkerRegistration & {
  readonly sync?: { register(tag: string): Promise<void> };
};

/** Watches a client's status until the function that comes back is called. Does nothing outside of a page. */
export function askForSync(events: Events): () => void {
  if (typeof document === 'undefined' || !navigator.serviceWorker) return () => undefined;
  let unsent = false;
  let asked = false;
  // Known beforehand: a hidden page may be frozen before it hears an answer.
  let registration: SyncRegistration | undefined;

  async function find(): Promise<void> {
    // Not `ready`, which is for ever pending where the app has no worker.
    registration ??= await navigator.serviceWorker.getRegistration().catch(() => undefined);
  }
  /** Whether the browser has taken it. */
  async function ask(): Promise<boolean> {
    if (!registration) await find();
    try {
      await registration?.sync?.register(SYNC_TAG);
      return registration?.sync !== undefined;
    } catch {
      // The worker is not active yet, or is another one by now, or the person forbade it: then a page sends, as in
      // browsers without this.
      registration = undefined;
      return false;
    }
  }

  const stop = events.on('status', (status) => {
    const before = unsent;
    unsent = mayGo(status);
    if (!unsent) asked = false;
    else if (status.state === 'error' && !asked) {
      asked = true;
      void ask().then((taken) => {
        if (!taken) asked = false;
      });
    } else if (!before && !registration) void find();
  });
  const leave = (): void => {
    if (unsent && document.visibilityState === 'hidden') void ask();
  };
  document.addEventListener('visibilitychange', leave);
  return () => {
    stop();
    document.removeEventListener('visibilitychange', leave);
  };
}

/** Whether something waits that nobody asked to hold back. */
function mayGo({ pending, offline, paused }: SyncEvents['status']): boolean {
  return pending > 0 && !offline && !paused;
}
