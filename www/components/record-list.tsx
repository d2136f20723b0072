'use client';
/**
 * The records of one entity, with a filter. A row is keyed by `_sync.key`, which stays when the record gets its real
 * ID: the row is not replaced under the user's hand.
 */
import { useMemo, useState } from 'react';
import type { AnyRecord, Entity } from '@/lib/clinic';
import { descriptions } from '@/lib/entities';
import { usePlace } from '@/lib/place';
import { useNameOf, useSnapshot } from '@/lib/use-practice';
import { PlaceLink } from './place-link';
import { StateBadge } from './state-badge';

const ROWS_AT_FIRST = 50;

export function RecordList({ entity }: { entity: Entity }) {
  const place = usePlace();
  const records = useSnapshot((snapshot) => snapshot.records[entity]);
  const nameOf = useNameOf();
  const [filter, setFilter] = useState('');
  const [rows, setRows] = useState(ROWS_AT_FIRST);
  const { title, detail, many } = descriptions[entity];
  const shown = useMemo(() => {
    const wanted = filter.trim().toLowerCase();
    const lines = records.map((record) => ({ record, title: title(record, nameOf), detail: detail(record, nameOf) }));
    return wanted ? lines.filter((line) => `${line.title} ${line.detail}`.toLowerCase().includes(wanted)) : lines;
  }, [records, filter, title, detail, nameOf]);

  if (records.length === 0) return <p className="empty">No {many.toLowerCase()} yet.</p>;
  return (
    <>
      <label className="filter">
        <span className="hidden">Filter {many.toLowerCase()}</span>
        <input
          type="search"
          placeholder={`Filter ${many.toLowerCase()}`}
          value={filter}
          onChange={(event) => setFilter(event.target.value)}
        />
      </label>
      <ul className="rows">
        {shown.slice(0, rows).map(({ record, title, detail }) => (
          <li key={record._sync.key} data-key={record._sync.key} data-id={record.id}>
            <PlaceLink to={{ ...place, id: record.id, by: null }} current={isOpen(record, place.id)}>
              <span className="title">{title}</span>
              <span className="detail">{detail}</span>
              {record._sync.state && <StateBadge state={record._sync.state} />}
            </PlaceLink>
          </li>
        ))}
      </ul>
      {shown.length === 0 && <p className="empty">Nothing matches “{filter}”.</p>}
      {shown.length > rows && (
        <button type="button" className="more" onClick={() => setRows(rows + ROWS_AT_FIRST)}>
          Show more ({shown.length - rows} left)
        </button>
      )}
    </>
  );
}

/** The address may still name the ID under which the record was first shown. */
function isOpen(record: AnyRecord, id: unknown): boolean {
  return record.id === id || record._sync.key === id;
}
