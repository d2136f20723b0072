'use client';
/**
 * Chooses a record of another entity, sent or not. Long lists get a filter. An option's value is the ID as JSON, so
 * that 12 and "12" stay two IDs; a chosen record whose ID changes meanwhile stays chosen by its stable key.
 */
import { useMemo, useState } from 'react';
import type { Entity } from '@/lib/clinic';
import { descriptions } from '@/lib/entities';
import { useNameOf, useSnapshot } from '@/lib/use-practice';

const FILTER_FROM = 30;
const OPTIONS_MAX = 200;

interface Props {
  id: string;
  to: Entity;
  value: unknown;
  required: boolean;
  'aria-invalid'?: true | undefined;
  onChange(value: unknown): void;
}

export function ReferenceInput({ id, to, value, required, onChange, ...rest }: Props) {
  const records = useSnapshot((snapshot) => snapshot.records[to]);
  const nameOf = useNameOf();
  const [filter, setFilter] = useState('');
  const { title, detail, one, many } = descriptions[to];
  const chosen = useMemo(
    () => records.find((record) => record.id === value) ?? records.find((record) => record._sync.key === value),
    [records, value],
  );
  const options = useMemo(() => {
    const wanted = filter.trim().toLowerCase();
    const all = records
      .filter((record) => record !== chosen)
      .map((record) => ({
        record,
        label: [title(record, nameOf), detail(record, nameOf)].filter(Boolean).join(' — '),
      }));
    return (wanted ? all.filter(({ label }) => label.toLowerCase().includes(wanted)) : all).slice(0, OPTIONS_MAX);
  }, [records, chosen, filter, title, detail, nameOf]);

  return (
    <div className="reference">
      {records.length > FILTER_FROM && (
        <input
          type="search"
          aria-label={`Find a ${one.toLowerCase()}`}
          placeholder={`Find among ${records.length} ${many.toLowerCase()}`}
          value={filter}
          onChange={(event) => setFilter(event.target.value)}
        />
      )}
      <select
        id={id}
        required={required}
        value={chosen ? JSON.stringify(chosen.id) : value === undefined ? '' : JSON.stringify(value)}
        onChange={(event) => onChange(event.target.value === '' ? undefined : JSON.parse(event.target.value))}
        {...rest}
      >
        <option value="">—</option>
        {chosen && <option value={JSON.stringify(chosen.id)}>{title(chosen, nameOf)}</option>}
        {!chosen && value !== undefined && <option value={JSON.stringify(value)}>{String(value)} (not here)</option>}
        {options.map(({ record, label }) => (
          <option key={record._sync.key} value={JSON.stringify(record.id)}>
            {label}
          </option>
        ))}
      </select>
    </div>
  );
}
