'use client';
/** One field of a form: its label and the input for its kind. */
import { inputText, storedValue } from '@/lib/draft';
import type { Field } from '@/lib/entities';
import { AttendeesInput } from './attendees-input';
import { ReferenceInput } from './reference-input';

interface Props {
  id: string;
  field: Field;
  value: unknown;
  invalid: boolean;
  onChange(value: unknown): void;
}

export function FieldInput({ id, field, value, invalid, onChange }: Props) {
  if (field.kind === 'attendees')
    return <AttendeesInput id={id} label={field.label} value={value} onChange={onChange} />;
  return (
    <div className="field" data-kind={field.kind}>
      <label htmlFor={id}>
        {field.label}
        {field.required && <span className="required"> required</span>}
      </label>
      <Control id={id} field={field} value={value} invalid={invalid} onChange={onChange} />
    </div>
  );
}

const INPUT_TYPES = {
  text: 'text',
  tel: 'tel',
  email: 'email',
  number: 'number',
  date: 'date',
  datetime: 'datetime-local',
} as const;

function Control({ id, field, value, invalid, onChange }: Props) {
  const { kind, required } = field;
  const common = { id, required: required ?? false, 'aria-invalid': invalid || undefined };
  if (kind === 'reference' && field.to) {
    return <ReferenceInput {...common} to={field.to} value={value} onChange={onChange} />;
  }
  const text = inputText(kind, value);
  const change = (event: { target: { value: string } }) => onChange(storedValue(kind, event.target.value));
  if (kind === 'long') return <textarea {...common} rows={6} value={text} onChange={change} />;
  if (kind === 'choice') {
    const choices = field.choices ?? [];
    return (
      <select {...common} value={text} onChange={change}>
        <option value="">—</option>
        {/* A word that came from elsewhere is kept, not hidden. */}
        {[...choices, ...(text && !choices.includes(text) ? [text] : [])].map((choice) => (
          <option key={choice}>{choice}</option>
        ))}
      </select>
    );
  }
  const type = INPUT_TYPES[kind as keyof typeof INPUT_TYPES];
  return <input {...common} type={type} step={kind === 'number' ? 'any' : undefined} value={text} onChange={change} />;
}
