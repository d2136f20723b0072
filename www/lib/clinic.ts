/** The clinic's records, as the schema declares them. The same schema is given to the server. */
import type { Key, Schema, Stored } from 'fieldsync';
import schemaJson from '@/clinic.schema.json';
import practiceList from '@/practices.json';

export interface Clinic {
  client: { name: string; phone?: string; email?: string; address?: { street?: string; city?: string } };
  practitioner: { name: string; role?: string; phone?: string };
  pet: { name: string; clientId: Key; species?: string; born?: string; weight?: number };
  appointment: {
    petId: Key;
    at: string;
    reason?: string;
    status?: string;
    attendees?: { practitionerId: Key; role?: string }[];
  };
  note: { appointmentId: Key; practitionerId?: Key; text: string };
}

export type Entity = keyof Clinic;
export type RecordOf<E extends Entity> = Stored<Clinic[E]>;
/** A record of any entity: lists and forms work from descriptions, not from types. */
export type AnyRecord = Stored<Record<string, unknown>>;

export const schema = schemaJson as Schema<Clinic>;

export interface Practice {
  tenant: string;
  name: string;
}
export const practices: readonly Practice[] = practiceList;

/** The demo has one person, who works in both practices. */
export const USER = 'demo';
