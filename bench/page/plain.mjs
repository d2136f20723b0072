/**
 * What an app without the package would write for itself: difference, three-way merge and canonical form of documents,
 * in plain JavaScript. The bench holds the package's functions against these, in time and in what comes out.
 */

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Whether two values are the same. */
export function equal(a, b) {
  if (a === b) return true;
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, at) => equal(item, b[at]));
  if (!isObject(a) || !isObject(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && equal(a[key], b[key]));
}

/** What changed, as `{path, value}`; without `value` where a field is gone. */
function changes(from, to, above = [], found = []) {
  for (const key of Object.keys(to)) {
    const path = [...above, key];
    if (!Object.hasOwn(from, key)) found.push({ path, value: to[key] });
    else if (isObject(from[key]) && isObject(to[key])) changes(from[key], to[key], path, found);
    else if (!equal(from[key], to[key])) found.push({ path, value: to[key] });
  }
  for (const key of Object.keys(from)) if (!Object.hasOwn(to, key)) found.push({ path: [...above, key] });
  return found;
}

const pointer = (path) => path.map((key) => `/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');

/** What leads from one object to another: `{set: {pointer: value}, unset: [pointer]}`. */
export function diff(from, to) {
  const all = changes(from, to);
  const isGone = (change) => !('value' in change);
  return {
    set: Object.fromEntries(all.filter((change) => !isGone(change)).map(({ path, value }) => [pointer(path), value])),
    unset: all
      .filter(isGone)
      .map(({ path }) => pointer(path))
      .sort(),
  };
}

function find(record, path) {
  return path.reduce((value, key) => (isObject(value) ? value[key] : undefined), record);
}

function apply(record, { path, ...change }) {
  const last = path.at(-1);
  let place = record;
  for (const key of path.slice(0, -1)) {
    if (!isObject(place[key])) place[key] = {};
    place = place[key];
  }
  if ('value' in change) place[last] = change.value;
  else delete place[last];
}

/** The local changes over the server's; what both changed differently keeps the server's value, and is named. */
export function merge(base, local, server) {
  const theirs = changes(base, server).map(({ path }) => `${pointer(path)}/`);
  const data = structuredClone(server);
  const conflicts = [];
  for (const change of changes(base, local)) {
    if (equal(find(server, change.path), change.value)) continue;
    const own = `${pointer(change.path)}/`;
    if (theirs.some((other) => other.startsWith(own) || own.startsWith(other))) conflicts.push(change.path.join('.'));
    else apply(data, change);
  }
  return { data, conflicts: conflicts.sort() };
}

/** RFC 8785: members in the order of their names, numbers as JavaScript writes them. */
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (!isObject(value)) return JSON.stringify(value);
  const members = Object.keys(value)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`);
  return `{${members.join()}}`;
}

/** SHA-256 of a text, in hex. */
export async function sha256(text) {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
