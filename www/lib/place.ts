'use client';
/**
 * Where the user is, kept in the query string: the practice, the view, the record. Moving is a history entry and no
 * request, so the app moves without a network too.
 */
import type { Key } from 'fieldsync';
import { useSearchParams } from 'next/navigation';
import { useMemo } from 'react';
import { type Entity, practices } from './clinic';
import { isEntity } from './entities';

export type View = Entity | 'queue' | 'conflicts';

export interface Place {
  practice: string;
  view: View;
  /** The record that is open, `new` for a record to be. */
  id: Key | 'new' | null;
  /** For a new record: the field that refers to the record from which it is made, and that record. */
  by: { field: string; id: Key } | null;
}

export function usePlace(): Place {
  const params = useSearchParams();
  return useMemo(() => read(params), [params]);
}

export function go(place: Place): void {
  window.history.pushState(null, '', href(place));
}

export function href({ practice, view, id, by }: Place): string {
  const params = new URLSearchParams({ practice, view });
  if (id !== null) params.set('id', String(id));
  if (by) {
    params.set('by', by.field);
    params.set('of', String(by.id));
  }
  return `/?${params}`;
}

function read(params: { get(name: string): string | null }): Place {
  const practice = practices.find(({ tenant }) => tenant === params.get('practice')) ?? practices[0];
  if (!practice) throw new Error('practices.json names no practice');
  const view = params.get('view');
  const id = params.get('id');
  const [field, of] = [params.get('by'), params.get('of')];
  return {
    practice: practice.tenant,
    view: view === 'queue' || view === 'conflicts' || isEntity(view) ? view : 'client',
    id: id === null ? null : keyOf(id),
    by: field && of ? { field, id: keyOf(of) } : null,
  };
}

/** Real keys of the clinic are integers, temp IDs are not. */
function keyOf(text: string): Key {
  return /^\d+$/.test(text) ? Number(text) : text;
}
