'use client';
/** One record: its fields to edit, where it stands, and what belongs to it. */
import { FieldSyncError, type Key } from 'fieldsync';
import { useState } from 'react';
import type { AnyRecord, Entity } from '@/lib/clinic';
import { descriptions } from '@/lib/entities';
import { go, usePlace } from '@/lib/place';
import { useNameOf, usePractice, useRecord, useSnapshot } from '@/lib/use-practice';
import { Notice } from './notice';
import { Panel } from './panel';
import { PlaceLink } from './place-link';
import { RecordForm } from './record-form';
import { StateBadge } from './state-badge';

export function NewRecordPanel({ entity }: { entity: Entity }) {
  const store = usePractice();
  const place = usePlace();
  const { one } = descriptions[entity];
  const heading = `New ${one.toLowerCase()}`;
  return (
    <Panel label={heading} heading={heading} of="new" begin="field">
      <RecordForm
        entity={entity}
        record={place.by ? { [place.by.field]: place.by.id } : {}}
        action="Save"
        save={async (fields) => {
          const { record } = await store.client.create(entity, fields as never);
          go({ ...place, view: entity, id: record.id, by: null });
        }}
      />
    </Panel>
  );
}

export function RecordPanel({ entity, id }: { entity: Entity; id: Key }) {
  const record = useRecord(entity, id);
  const nameOf = useNameOf();
  const { one, title } = descriptions[entity];
  if (record === undefined) return <section className="panel" aria-busy="true" aria-label={one} />;
  if (record === null) {
    return (
      <Panel label={one} heading="Not here" of={id}>
        <p className="empty">This record was deleted, or it never came to this device.</p>
      </Panel>
    );
  }
  return (
    <Panel label={one} heading={title(record, nameOf)} of={record._sync.key}>
      <Standing record={record} />
      {/* By the key that stays, so that what is being typed survives the answer of the server. */}
      <EditForm key={record._sync.key} entity={entity} record={record} />
      <Parts entity={entity} record={record} />
    </Panel>
  );
}

function EditForm({ entity, record }: { entity: Entity; record: AnyRecord }) {
  const store = usePractice();
  const place = usePlace();
  const [problem, setProblem] = useState<string | null>(null);
  const { one } = descriptions[entity];
  return (
    <>
      <RecordForm
        entity={entity}
        record={record}
        action="Save changes"
        save={async (changes) => {
          await store.client.update(entity, record.id, changes as never);
        }}
      />
      {problem && <Notice tone="danger">{problem}</Notice>}
      <button
        type="button"
        className="danger"
        onClick={async () => {
          if (!window.confirm(`Delete this ${one.toLowerCase()}?`)) return;
          try {
            await store.client.delete(entity, record.id);
            go({ ...place, id: null, by: null });
          } catch (cause) {
            setProblem(words(cause));
          }
        }}
      >
        Delete
      </button>
    </>
  );
}

/** The ID it has now, the server's version, and the state while something is unsent. */
function Standing({ record }: { record: AnyRecord }) {
  return (
    <dl className="standing">
      <div>
        <dt>ID</dt>
        <dd data-role="id">{String(record.id)}</dd>
      </div>
      <div>
        <dt>Version</dt>
        <dd>{record._sync.version ?? 'not sent yet'}</dd>
      </div>
      <div>
        <dt>State</dt>
        <dd>
          <StateBadge state={record._sync.state ?? 'synced'} />
        </dd>
      </div>
    </dl>
  );
}

function Parts({ entity, record }: { entity: Entity; record: AnyRecord }) {
  const place = usePlace();
  const nameOf = useNameOf();
  const all = useSnapshot((snapshot) => snapshot.records);
  return descriptions[entity].parts.map(({ entity: part, by }) => {
    const { one, many, title, detail } = descriptions[part];
    const mine = all[part].filter((each) => each[by] === record.id);
    return (
      <section key={part} className="parts" aria-label={many}>
        <header className="head">
          <h3>{many}</h3>
          <PlaceLink className="button" to={{ ...place, view: part, id: 'new', by: { field: by, id: record.id } }}>
            Add {one.toLowerCase()}
          </PlaceLink>
        </header>
        <ul className="rows">
          {mine.map((each) => (
            <li key={each._sync.key}>
              <PlaceLink to={{ ...place, view: part, id: each.id, by: null }}>
                <span className="title">{title(each, nameOf)}</span>
                <span className="detail">{detail(each, nameOf)}</span>
                {each._sync.state && <StateBadge state={each._sync.state} />}
              </PlaceLink>
            </li>
          ))}
        </ul>
      </section>
    );
  });
}

/** What went wrong, for a person: `has_dependents` is the one that users of this app meet. */
function words(cause: unknown): string {
  if (!(cause instanceof FieldSyncError)) return String(cause);
  if (cause.code === 'has_dependents') return 'Other records still refer to this one. Delete those first.';
  return cause.message;
}
