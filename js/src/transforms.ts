/** The form in which records go over the wire: how it is declared, and the app's functions for what no declaration can say. */
import { badSetting } from './errors.js';
import { reportUncaught } from './events.js';

/** How the records of an entity go over the wire, where that is not the form that the app works with. */
export interface TransformSchema {
  /** Counts up from 1 with every change: what was downloaded under another one is downloaded anew. */
  version: number;
  /** The entity's name there. */
  entity?: string;
  /** By top-level field. Fields that are not named go as they are. */
  fields?: { readonly [field: string]: FieldTransform };
  /** Fields of the wire that the app does not see. An update leaves them as they are. */
  drop?: readonly string[];
  /** Fields of the wire that the app does not see, with what they are in every record that is created here. */
  constants?: { readonly [field: string]: unknown };
}

/** How one field goes over the wire. */
export interface FieldTransform {
  /** Its name there. */
  name?: string;
  /**
   * What its values are there. `time`: ms since 1970 here, RFC 3339 in UTC there; `seconds`: ms here, seconds there; `text`: a
   * number here, its text there; `digit`: `true` and `false` here, 1 and 0 there; `values`: texts here, what stands beside
   * each there; `function`: what the app's {@link FieldFunctions} make of them, and examples of values here to hold them to.
   */
  convert?:
    | 'time'
    | 'seconds'
    | 'text'
    | 'digit'
    | { readonly values: { readonly [here: string]: unknown } }
    | { readonly function: readonly unknown[] };
  /** What it is here where the wire has nothing, or `null`. */
  default?: unknown;
}

/**
 * Turns the values of a field, which are no objects here and never `null`: pure functions, at once or later, of which the one
 * makes of what the other made what it was before. One that throws has no such value.
 */
export interface FieldFunctions {
  toWire(value: unknown): unknown;
  toLocal(value: unknown): unknown;
}

/** What the engine asks: to where, and fields with values. */
interface Question {
  to: 'wire' | 'local';
  values: [field: string, value: unknown][];
}

/** By entity: answers each value by a list of what it is turned into, or by `null`. */
export type Turn = (question: Question) => Promise<([unknown] | null)[]>;

/** The functions of the settings as the engine asks them, and the fields that they are for. */
export function readTransforms(given: unknown = {}): { turns: Record<string, Turn>; fields: string[] } {
  const turns: Record<string, Turn> = {};
  const fields: string[] = [];
  for (const [entity, byField] of members('transforms', given)) {
    const known = new Map<string, FieldFunctions>();
    for (const [field, functions] of members(`transforms.${entity}`, byField)) {
      const path = `transforms.${entity}.${field}`;
      for (const [name, value] of members(path, functions)) {
        if (name !== 'toWire' && name !== 'toLocal')
          throw badSetting(`${path}.${name}`, `${path} has toWire and toLocal`);
        if (typeof value !== 'function') throw badSetting(`${path}.${name}`, `${path}.${name} is a function`);
      }
      const { toWire, toLocal } = functions as Partial<FieldFunctions>;
      if (!toWire || !toLocal) throw badSetting(path, `${path} has both toWire and toLocal`);
      known.set(field, { toWire, toLocal });
      fields.push(`${entity}.${field}`);
    }
    turns[entity] = async ({ to, values }) =>
      Promise.all(values.map(([field, value]) => turned(known.get(field), to, value)));
  }
  return { turns, fields };
}

async function turned(
  functions: FieldFunctions | undefined,
  to: 'wire' | 'local',
  value: unknown,
): Promise<[unknown] | null> {
  try {
    const made = await (to === 'wire' ? functions?.toWire(value) : functions?.toLocal(value));
    return made === undefined ? null : [made];
  } catch (cause) {
    reportUncaught(cause);
    return null;
  }
}

function members(path: string, value: unknown): [string, unknown][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw badSetting(path, `${path} is an object`);
  return Object.entries(value).filter(([, member]) => member !== undefined);
}
