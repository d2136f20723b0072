/**
 * A folder of records: `schema.json` and one NDJSON file per entity.
 *
 * Read once, checked as it is read: a folder that contradicts itself would make a replay that proves nothing.
 * The file's own IDs never reach the client: the replay gives every record a temporary ID and writes that into the
 * references, in an order shuffled by a seed.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Reads a folder: `{ name, entities: { pet: { key, references, records } } }`. */
export async function readFolder(path) {
  const schemaFile = join(path, 'schema.json');
  const text = await readFile(schemaFile, 'utf8').catch((cause) => {
    throw new Error(`${path} is no folder with a schema.json`, { cause });
  });
  const schema = parsed(text, schemaFile);
  if (!isObject(schema) || !isObject(schema.entities)) throw new Error(`${schemaFile} declares no 'entities'`);
  const entities = {};
  for (const [entity, declared] of Object.entries(schema.entities)) {
    if (!isObject(declared) || !isObject(declared.references ?? {})) {
      throw new Error(`${schemaFile} does not declare '${entity}' as an object with its references`);
    }
    const { references, records: promised, key } = declared;
    const file = join(path, `${entity}.ndjson`);
    const records = await readRecords(file, entity);
    if (promised !== undefined && promised !== records.length) {
      throw new Error(`${file}: schema.json promises ${promised} records, the file has ${records.length}`);
    }
    entities[entity] = { key: key ?? keyPolicy(file, records), references: references ?? {}, records };
  }
  // A replay of nothing would pass, and prove nothing.
  if (Object.values(entities).every(({ records }) => records.length === 0)) {
    throw new Error(`${path} has no record: there is nothing to replay`);
  }
  check(entities);
  return { name: schema.name, entities };
}

/** The records of one file, one in each line that is not blank. */
async function readRecords(file, entity) {
  const text = await readFile(file, 'utf8').catch((cause) => {
    const why = cause.code === 'ENOENT' ? 'is not there' : `cannot be read (${cause.code})`;
    throw new Error(`${file} ${why}, and schema.json names the entity '${entity}'`, { cause });
  });
  const records = [];
  for (const [at, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const where = `${file}, line ${at + 1},`;
    const record = parsed(line, where);
    if (!isObject(record)) throw new Error(`${where} is not a JSON object`);
    records.push(record);
  }
  return records;
}

function parsed(text, where) {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error(`${where} is not JSON: ${cause.message}`, { cause });
  }
}

function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What a server that issues the IDs makes of a file with these: integers, or text as soon as one is a string. */
function keyPolicy(file, records) {
  if (records.every(({ id }) => Number.isSafeInteger(id))) return 'integer';
  if (records.every(({ id }) => Number.isSafeInteger(id) || (typeof id === 'string' && id !== ''))) return 'text';
  throw new Error(`${file}: every record needs an id, a string or an integer`);
}

/** IDs are unique and every reference leads to a record of the folder. */
function check(entities) {
  const known = new Map();
  for (const [entity, { records }] of Object.entries(entities)) {
    const ids = new Set(records.map(({ id }) => JSON.stringify(id)));
    if (ids.size !== records.length) throw new Error(`${entity}: an id occurs twice`);
    known.set(entity, ids);
  }
  for (const [entity, { references, records }] of Object.entries(entities)) {
    for (const [path, target] of Object.entries(references)) {
      if (!known.has(target)) throw new Error(`${entity}.${path} refers to ${target}, which is not in the folder`);
      for (const record of records) {
        replaceAt(record, path.split('.'), (id) => {
          if (!known.get(target).has(JSON.stringify(id))) {
            throw new Error(`${entity} ${JSON.stringify(record.id)}: ${path} leads to no ${target}`);
          }
          return id;
        });
      }
    }
  }
}

/** The schema that the client and the server are opened with. */
export function syncSchema({ name, entities }) {
  const declared = Object.entries(entities).map(([entity, { key, references }]) => [entity, { key, references }]);
  return { name, version: 1, entities: Object.fromEntries(declared) };
}

/** Every record as `{ entity, id }`, shuffled. */
export function shuffled({ entities }, seed) {
  const all = Object.entries(entities).flatMap(([entity, { records }]) => records.map(({ id }) => ({ entity, id })));
  const random = generator(seed);
  for (let last = all.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [all[last], all[other]] = [all[other], all[last]];
  }
  return all;
}

/** What is given to `create` for each record of `order`: temp IDs in the key and in every reference. */
export function drafts({ entities }, order, tempIdOf) {
  const byId = new Map();
  for (const [entity, { records }] of Object.entries(entities)) {
    for (const record of records) byId.set(fileKey(entity, record.id), record);
  }
  return order.map(({ entity, id }) => {
    let data = { ...byId.get(fileKey(entity, id)), id: tempIdOf(entity, id) };
    for (const [path, target] of Object.entries(entities[entity].references)) {
      data = replaceAt(data, path.split('.'), (referred) => tempIdOf(target, referred));
    }
    return { entity, data };
  });
}

/** One name for a record of the folder. */
export function fileKey(entity, id) {
  return `${entity} ${JSON.stringify(id)}`;
}

/** A copy of `value` with what lies at the path replaced; what is absent or null refers to nothing. */
function replaceAt(value, [step, ...rest], replace) {
  if (step === undefined) return value === null ? null : replace(value);
  const list = step.endsWith('[]');
  const field = list ? step.slice(0, -2) : step;
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, field)) return value;
  const inner = value[field];
  if (!list) return { ...value, [field]: replaceAt(inner, rest, replace) };
  if (!Array.isArray(inner)) return value;
  return { ...value, [field]: inner.map((item) => replaceAt(item, rest, replace)) };
}

/** Mulberry32: small, seeded, good enough to shuffle. */
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
