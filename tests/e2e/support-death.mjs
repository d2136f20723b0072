/**
 * Ways to kill the wasm instance of a page with nothing of ours in it that helps: a function of the browser that the
 * module calls fails once, as it never does, and the module panics or is left by an exception.
 */

/** Runs in the page before any other script; `globalThis.kill` has the ways. */
export function armDeath() {
  const { getRandomValues } = Crypto.prototype;
  const { parse } = JSON;
  let broken = false;
  Crypto.prototype.getRandomValues = function (bytes) {
    if (!broken) return getRandomValues.call(this, bytes);
    broken = false;
    throw new DOMException('no randomness', 'OperationError');
  };
  const kill = {
    /** The next call, or task of the engine, that needs a random number panics: a real `unreachable`. */
    atNextRandomNumber() {
      broken = true;
    },
    /** At once, inside a call that cannot wait. */
    now(client) {
      broken = true;
      try {
        client.tempIds.generateTempId('client');
      } catch (error) {
        return error.code;
      }
      return 'it lives';
    },
    /** When the next save has issued the first of its writes and not the others. */
    betweenTwoWrites() {
      JSON.parse = (text, ...more) => {
        const value = parse(text, ...more);
        if (!text.startsWith('[{"k":') || value.length < 2) return value;
        JSON.parse = parse;
        return Object.defineProperty(value, 1, {
          get: () => {
            throw new RangeError('out of memory');
          },
        });
      };
    },
    /**
     * While the next save issues its first write, which fails: the half of the instance that is on the stack does not hear
     * of either, goes on with the other writes and commits.
     */
    inTheFirstWrite(client) {
      const { put } = IDBObjectStore.prototype;
      IDBObjectStore.prototype.put = () => {
        IDBObjectStore.prototype.put = put;
        kill.now(client);
        throw new DOMException('no memory', 'UnknownError');
      };
    },
  };
  globalThis.kill = kill;
}
