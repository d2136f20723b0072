'use client';
/** What waits to be sent, in its order, each with its state and the reason why it waits. */
import type { QueueItem } from 'fieldsync';
import { useState } from 'react';
import type { AnyRecord, Entity } from '@/lib/clinic';
import { descriptions, isEntity, shownTime } from '@/lib/entities';
import { usePlace } from '@/lib/place';
import { useNameOf, usePractice, useSnapshot } from '@/lib/use-practice';
import { Notice } from './notice';
import { PlaceLink } from './place-link';
import { StateBadge } from './state-badge';

const VERBS: Record<QueueItem['kind'], string> = { create: 'New', update: 'Change of', delete: 'Delete of' };

export function QueueView() {
  const queue = useSnapshot((snapshot) => snapshot.queue);
  return (
    <section className="page" aria-label="Queue">
      <header className="head">
        <h2>Queue</h2>
        <p className="explain">Saved on this device, in the order in which it will be sent.</p>
      </header>
      {queue.length === 0 ? (
        <p className="empty">Nothing waits. The server has everything.</p>
      ) : (
        <ol className="cards">
          {queue.map((item) => (
            <li key={item.operationId} className="card" data-operation={item.operationId} data-state={item.state}>
              <Item item={item} />
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}

function Item({ item }: { item: QueueItem }) {
  const place = usePlace();
  const records = useSnapshot((snapshot) => snapshot.records);
  const offline = useSnapshot((snapshot) => snapshot.offline || snapshot.status?.connectivity === 'offline');
  const nameOf = useNameOf();
  const { entity, recordId } = item;
  const words = isEntity(entity) ? `${VERBS[item.kind]} ${descriptions[entity].one.toLowerCase()}` : item.kind;
  const name = isEntity(entity) ? titleOf(entity, item, records[entity], nameOf) : String(recordId);
  return (
    <>
      <div className="line">
        <span className="title">
          {words}{' '}
          {isEntity(entity) && item.kind !== 'delete' ? (
            <PlaceLink to={{ ...place, view: entity, id: recordId, by: null }}>{name}</PlaceLink>
          ) : (
            name
          )}
        </span>
        <StateBadge state={item.state} />
      </div>
      <p className="reason">
        {offline && item.reason?.code === 'ready' ? 'Waits for the network.' : item.reason?.message}
      </p>
      <p className="detail">
        {shownTime(item.createdAt)}
        {item.attempts > 0 && ` · sent ${item.attempts === 1 ? 'once' : `${item.attempts} times`}`}
      </p>
      {item.state === 'parked' && <Decision item={item} />}
    </>
  );
}

/** The server will never take this as it is: a person says what becomes of it. */
function Decision({ item }: { item: QueueItem }) {
  const { queue } = usePractice().client;
  const [problem, setProblem] = useState<string | null>(null);
  const act = async (done: Promise<unknown>) => {
    try {
      await done;
    } catch (cause) {
      setProblem(cause instanceof Error ? cause.message : String(cause));
    }
  };
  return (
    <>
      {problem && <Notice tone="danger">{problem}</Notice>}
      <div className="actions">
        <button type="button" onClick={() => act(queue.retry(item))}>
          Try again
        </button>
        <button
          type="button"
          className="danger"
          onClick={() => {
            if (window.confirm('Give this up, with everything that depends on it?')) act(queue.discard(item));
          }}
        >
          Give up
        </button>
      </div>
    </>
  );
}

function titleOf(
  entity: Entity,
  { recordId, payload }: QueueItem,
  records: readonly AnyRecord[],
  nameOf: ReturnType<typeof useNameOf>,
): string {
  const record = records.find(({ id }) => id === recordId);
  // A deleted record is in no list any more; what the operation carries may still name it.
  return descriptions[entity].title(record ?? ((payload ?? {}) as AnyRecord), nameOf);
}
