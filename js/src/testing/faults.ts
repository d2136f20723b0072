/** What of a record is not as the schema declares its fields: docs/validation.md says how they are declared. */
import type { FieldShape } from '../config.js';
import type { RecordFault } from '../shapes.js';
import { canonical, type Fields, member } from './delta.js';

export function faults(shapes: { readonly [path: string]: FieldShape }, data: Fields): RecordFault[] {
  const paths = Object.keys(shapes).sort();
  return paths.flatMap((path) => {
    const rule = brokenBy(shapes[path] as FieldShape, path.split('.').reduce<unknown>(member, data));
    return rule === undefined ? [] : [{ path, rule }];
  });
}

function brokenBy(shape: FieldShape, value: unknown): RecordFault['rule'] | undefined {
  const { type, required, min, max, minLength, maxLength, enum: choice } = shape;
  if (value === undefined || value === null) return required ? 'required' : undefined;
  if (type !== undefined && !isOf(type, value)) return 'type';
  const length = typeof value === 'string' || Array.isArray(value) ? value.length : undefined;
  const number = typeof value === 'number' ? value : undefined;
  if (number !== undefined && min !== undefined && number < min) return 'min';
  if (number !== undefined && max !== undefined && number > max) return 'max';
  if (length !== undefined && minLength !== undefined && length < minLength) return 'minLength';
  if (length !== undefined && maxLength !== undefined && length > maxLength) return 'maxLength';
  const isChosen = choice === undefined || choice.some((one) => canonical(one) === canonical(value));
  return isChosen ? undefined : 'enum';
}

function isOf(type: NonNullable<FieldShape['type']>, value: unknown): boolean {
  switch (type) {
    case 'integer':
      return Number.isSafeInteger(value);
    case 'array':
      return Array.isArray(value);
    case 'object':
      return typeof value === 'object' && !Array.isArray(value);
    default:
      return typeof value === type;
  }
}
