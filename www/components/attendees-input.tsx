'use client';
/** Who attends an appointment: a list of references, each with the part that the person has in it. */
import { ReferenceInput } from './reference-input';

interface Attendee {
  practitionerId?: unknown;
  role?: string;
}

interface Props {
  id: string;
  label: string;
  value: unknown;
  onChange(value: unknown): void;
}

export function AttendeesInput({ id, label, value, onChange }: Props) {
  const attendees = Array.isArray(value) ? (value as Attendee[]) : [];
  const put = (index: number, change: Attendee) =>
    onChange(attendees.map((each, at) => (at === index ? { ...each, ...change } : each)));
  return (
    <fieldset className="field attendees">
      <legend>{label}</legend>
      {attendees.map((attendee, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: an attendee has no identity but its place in the list
        <div className="attendee" key={index}>
          <div className="field">
            <label htmlFor={`${id}who${index}`}>Person {index + 1}</label>
            <ReferenceInput
              id={`${id}who${index}`}
              to="practitioner"
              required
              value={attendee.practitionerId}
              onChange={(practitionerId) => put(index, { practitionerId })}
            />
          </div>
          <div className="field">
            <label htmlFor={`${id}role${index}`}>Part</label>
            <input
              id={`${id}role${index}`}
              value={attendee.role ?? ''}
              onChange={(event) => put(index, { role: event.target.value })}
            />
          </div>
          <button
            type="button"
            className="quiet"
            aria-label={`Remove person ${index + 1}`}
            onClick={() => onChange(attendees.filter((_, at) => at !== index))}
          >
            Remove
          </button>
        </div>
      ))}
      <button type="button" className="quiet" onClick={() => onChange([...attendees, { role: '' }])}>
        Add a person
      </button>
    </fieldset>
  );
}
