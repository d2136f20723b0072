'use client';
/** What collided: both sides, and how it was settled. To look at only; nothing is lost by waiting. */
import type { Conflict } from 'fieldsync';
import type { AnyRecord } from '@/lib/clinic';
import { descriptions, isEntity, shownTime } from '@/lib/entities';
import { usePlace } from '@/lib/place';
import { useNameOf, useSnapshot } from '@/lib/use-practice';
import { PlaceLink } from './place-link';
import { StateBadge } from './state-badge';

const KINDS: Record<Conflict['kind'], string> = {
  'update-update': 'Changed here and on the server',
  'update-delete': 'Changed here, deleted on the server',
  'delete-update': 'Deleted here, changed on the server',
  constraint: 'Another record has what only one may have',
};

/** What came of it. A name that is not here is shown as it is. */
const OUTCOMES: Partial<Record<string, string>> = {
  'server-wins': "the server's value stands",
  'client-wins': "this device's value stands",
  'last-write-wins': 'the later change stands',
  merge: 'both changes were merged',
  discarded: "this device's change was discarded",
  elsewhere: 'decided on another device',
};

export function ConflictsView() {
  const conflicts = useSnapshot((snapshot) => snapshot.conflicts);
  return (
    <section className="page" aria-label="Conflicts">
      <header className="head">
        <h2>Conflicts</h2>
        <p className="explain">
          Different fields are merged. Where both sides changed the same field, the later change stands and the other is
          kept here.
        </p>
      </header>
      {conflicts.length === 0 ? (
        <p className="empty">This device has met no conflict.</p>
      ) : (
        <ul className="cards">
          {conflicts.map((conflict) => (
            <li key={conflict.conflictId} className="card">
              <Item conflict={conflict} />
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function Item({ conflict }: { conflict: Conflict }) {
  const place = usePlace();
  const nameOf = useNameOf();
  const { operation, localData, serverData, baseData, other } = conflict;
  const known = (localData ?? serverData ?? baseData ?? {}) as AnyRecord;
  const { entity, recordId } = operation;
  return (
    <>
      <div className="line">
        <span className="title">
          {isEntity(entity) ? (
            <PlaceLink to={{ ...place, view: entity, id: recordId, by: null }}>
              {descriptions[entity].title(known, nameOf)}
            </PlaceLink>
          ) : (
            `${entity} ${recordId}`
          )}
        </span>
        <StateBadge state={conflict.state} />
      </div>
      <p className="reason">
        {KINDS[conflict.kind]}
        {conflict.resolution && ` · ${outcome(conflict.resolution, conflict.resolvedBy)}`}
      </p>
      {conflict.affectedFields.length > 0 && (
        <table className="sides">
          <thead>
            <tr>
              <th scope="col">Field</th>
              <th scope="col">Here</th>
              <th scope="col">{other ? 'Other record' : 'Server'}</th>
            </tr>
          </thead>
          <tbody>
            {conflict.affectedFields.map((field) => (
              <tr key={field}>
                <th scope="row">{labelOf(entity, field)}</th>
                <td>{shownValue(localData, field)}</td>
                <td>{shownValue(other ? other.data : serverData, field)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <p className="detail">{shownTime(conflict.detectedAt)}</p>
    </>
  );
}

/** How it ended, and who decided that: a rule, or a person. */
function outcome(resolution: string, by: string | undefined): string {
  const stands = OUTCOMES[resolution] ?? resolution;
  if (!by) return stands;
  return `${stands}, decided by ${by === 'rule' ? 'a rule' : by}`;
}

/** Where one side deleted the record, it is the record as a whole that collided. */
const WHOLE = '*';

/** The field as the forms name it, or its path. */
function labelOf(entity: string, field: string): string {
  if (field === WHOLE) return 'The record';
  const fields = isEntity(entity) ? descriptions[entity].fields : [];
  return fields.find(({ path }) => path === field)?.label ?? field;
}

/** What stands at a path of one side, as text; React escapes it. */
function shownValue(side: unknown, field: string): string {
  if (field === WHOLE) return side === null ? 'deleted' : 'kept';
  let value: unknown = side;
  for (const part of field.split('.')) {
    if (typeof value !== 'object' || value === null) return '—';
    value = (value as Record<string, unknown>)[part];
  }
  if (value === undefined || value === null) return '—';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
