/** What no two records of an entity share, for the test server. */
import type { EntitySchema } from '../config.js';
import { canonical, type Fields, member } from './delta.js';

/** The paths of a constraint, and the values that a record holds for itself at them: equal texts are equal values. */
export interface Holding {
  fields: readonly string[];
  values: string;
}

/** What a record holds, of the constraints that it falls under. */
export function holdings(declared: EntitySchema, data: Fields | undefined): Holding[] {
  const held: Holding[] = [];
  for (const fields of data ? (declared.unique ?? []) : []) {
    const values = fields.map((path) => path.split('.').reduce<unknown>(member, data));
    if (values.every((value) => value !== undefined && value !== null))
      held.push({ fields, values: canonical(values) });
  }
  return held;
}

/** What a record holds after a change that it did not hold before. */
export function taken(declared: EntitySchema, before: Fields | undefined, after: Fields): Holding[] {
  const had = holdings(declared, before);
  return holdings(declared, after).filter((holding) => !had.some((other) => isSame(holding, other)));
}

export function isSame(one: Holding, other: Holding): boolean {
  return one.values === other.values && one.fields.join() === other.fields.join();
}
