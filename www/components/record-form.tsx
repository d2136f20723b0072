'use client';
/** The fields of a record to type into, drawn from its description. */
import { FieldSyncError } from 'fieldsync';
import { type FormEvent, useId, useState } from 'react';
import type { Entity } from '@/lib/clinic';
import { changesOf, type Draft, valueAt } from '@/lib/draft';
import { descriptions } from '@/lib/entities';
import { FieldInput } from './field-input';
import { Notice } from './notice';

interface Props {
  entity: Entity;
  /** What the form starts from, and follows where nothing was typed. */
  record: Record<string, unknown>;
  action: string;
  save(changes: Record<string, unknown>): Promise<void>;
}

/** A value is blamed by a JSON Pointer, a reference by its declared path. */
function blames(path: string | undefined, field: string): boolean {
  return path !== undefined && (path === field || path.slice(1).replaceAll('/', '.') === field);
}

export function RecordForm({ entity, record, action, save }: Props) {
  const [draft, setDraft] = useState<Draft>({});
  const [saving, setSaving] = useState(false);
  const [error, setError] = useState<{ message: string; path: string | undefined } | null>(null);
  const formId = useId();
  const isNew = record.id === undefined;
  const changed = Object.keys(draft).length > 0;

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setSaving(true);
    try {
      // A new record takes what it was started with, for instance its owner.
      await save({ ...(isNew ? record : {}), ...changesOf(record, draft) });
      setDraft({});
      setError(null);
    } catch (cause) {
      const path = cause instanceof FieldSyncError ? cause.details.path : undefined;
      setError({ message: cause instanceof Error ? cause.message : String(cause), path });
    } finally {
      setSaving(false);
    }
  };

  return (
    <form className="fields" onSubmit={submit}>
      {descriptions[entity].fields.map((field) => (
        <FieldInput
          key={field.path}
          id={`${formId}${field.path}`}
          field={field}
          value={field.path in draft ? draft[field.path] : valueAt(record, field.path)}
          invalid={blames(error?.path, field.path)}
          onChange={(value) => setDraft({ ...draft, [field.path]: value })}
        />
      ))}
      {error && <Notice tone="danger">{error.message}</Notice>}
      <div className="actions">
        <button type="submit" className="primary" disabled={saving || !(changed || isNew)}>
          {action}
        </button>
        {changed && !isNew && (
          <button type="button" className="quiet" onClick={() => setDraft({})}>
            Undo typing
          </button>
        )}
      </div>
    </form>
  );
}
