/**
 * How each entity is shown and edited. Lists and forms are drawn from these descriptions, so that a field is named in
 * one place.
 */
import type { AnyRecord, Entity } from './clinic';

export interface Field {
  /** Path into the record: `phone`, `address.city`. */
  path: string;
  label: string;
  kind: 'text' | 'tel' | 'email' | 'number' | 'date' | 'datetime' | 'long' | 'choice' | 'reference' | 'attendees';
  required?: boolean;
  /** For `choice`. */
  choices?: readonly string[];
  /** For `reference`. */
  to?: Entity;
}

export interface Description {
  entity: Entity;
  one: string;
  many: string;
  fields: readonly Field[];
  /** What the record is called. `name` finds what another record is called. */
  title(record: AnyRecord, name: NameOf): string;
  /** The second line in a list. */
  detail(record: AnyRecord, name: NameOf): string;
  /** Lists are sorted by this. */
  order(record: AnyRecord): string;
  /** Records that refer to this one and can be added from here. */
  parts: readonly { entity: Entity; by: string }[];
}

export type NameOf = (entity: Entity, id: unknown) => string;

const text = (value: unknown): string => (typeof value === 'string' || typeof value === 'number' ? String(value) : '');
const joined = (...parts: unknown[]): string => parts.map(text).filter(Boolean).join(' · ');

const day = new Intl.DateTimeFormat('en', { dateStyle: 'medium' });
const moment = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'short' });

/** A stored time in the words of the reader, or as it is if it is none. */
export function shownTime(value: unknown, format: 'day' | 'moment' = 'moment'): string {
  const time = typeof value === 'string' || typeof value === 'number' ? new Date(value) : undefined;
  if (!time || Number.isNaN(time.getTime())) return text(value);
  return (format === 'day' ? day : moment).format(time);
}

export const descriptions: Record<Entity, Description> = {
  client: {
    entity: 'client',
    one: 'Client',
    many: 'Clients',
    fields: [
      { path: 'name', label: 'Name', kind: 'text', required: true },
      { path: 'phone', label: 'Phone', kind: 'tel' },
      { path: 'email', label: 'Email', kind: 'email' },
      { path: 'address.street', label: 'Street', kind: 'text' },
      { path: 'address.city', label: 'City', kind: 'text' },
    ],
    title: (record) => text(record.name) || 'Unnamed client',
    detail: (record) => joined((record.address as { city?: unknown } | undefined)?.city, record.phone, record.email),
    order: (record) => text(record.name),
    parts: [{ entity: 'pet', by: 'clientId' }],
  },
  pet: {
    entity: 'pet',
    one: 'Pet',
    many: 'Pets',
    fields: [
      { path: 'name', label: 'Name', kind: 'text', required: true },
      { path: 'clientId', label: 'Owner', kind: 'reference', to: 'client', required: true },
      { path: 'species', label: 'Species', kind: 'choice', choices: ['dog', 'cat', 'rabbit', 'bird', 'other'] },
      { path: 'born', label: 'Born', kind: 'date' },
      { path: 'weight', label: 'Weight in kg', kind: 'number' },
    ],
    title: (record) => text(record.name) || 'Unnamed pet',
    detail: (record, name) => joined(record.species, name('client', record.clientId)),
    order: (record) => text(record.name),
    parts: [{ entity: 'appointment', by: 'petId' }],
  },
  appointment: {
    entity: 'appointment',
    one: 'Appointment',
    many: 'Appointments',
    fields: [
      { path: 'petId', label: 'Pet', kind: 'reference', to: 'pet', required: true },
      { path: 'at', label: 'When', kind: 'datetime', required: true },
      { path: 'reason', label: 'Reason', kind: 'text' },
      { path: 'status', label: 'Status', kind: 'choice', choices: ['planned', 'arrived', 'done', 'cancelled'] },
      { path: 'attendees', label: 'Attended by', kind: 'attendees' },
    ],
    title: (record, name) => joined(name('pet', record.petId), record.reason) || 'Appointment',
    detail: (record) => joined(shownTime(record.at), record.status),
    order: (record) => text(record.at),
    parts: [{ entity: 'note', by: 'appointmentId' }],
  },
  note: {
    entity: 'note',
    one: 'Note',
    many: 'Notes',
    fields: [
      { path: 'appointmentId', label: 'Appointment', kind: 'reference', to: 'appointment', required: true },
      { path: 'practitionerId', label: 'Written by', kind: 'reference', to: 'practitioner' },
      { path: 'text', label: 'Text', kind: 'long', required: true },
    ],
    title: (record) => text(record.text).split('\n')[0] || 'Empty note',
    detail: (record, name) =>
      joined(name('appointment', record.appointmentId), name('practitioner', record.practitionerId)),
    order: (record) => text(record.text),
    parts: [],
  },
  practitioner: {
    entity: 'practitioner',
    one: 'Practitioner',
    many: 'Practitioners',
    fields: [
      { path: 'name', label: 'Name', kind: 'text', required: true },
      { path: 'role', label: 'Role', kind: 'choice', choices: ['veterinarian', 'nurse', 'assistant'] },
      { path: 'phone', label: 'Phone', kind: 'tel' },
    ],
    title: (record) => text(record.name) || 'Unnamed practitioner',
    detail: (record) => joined(record.role, record.phone),
    order: (record) => text(record.name),
    parts: [],
  },
};

/** In the order of a visit. */
export const entities: readonly Entity[] = ['client', 'pet', 'appointment', 'note', 'practitioner'];

export function isEntity(value: unknown): value is Entity {
  return typeof value === 'string' && Object.hasOwn(descriptions, value);
}
