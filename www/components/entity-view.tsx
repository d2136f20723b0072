'use client';
/** One kind of record: the list, and beside it the record that is open. */
import type { Entity } from '@/lib/clinic';
import { descriptions } from '@/lib/entities';
import { usePlace } from '@/lib/place';
import { PlaceLink } from './place-link';
import { RecordList } from './record-list';
import { NewRecordPanel, RecordPanel } from './record-panel';

export function EntityView({ entity }: { entity: Entity }) {
  const place = usePlace();
  const { one, many } = descriptions[entity];
  return (
    <div className="split" data-open={place.id !== null}>
      <section className="list" aria-label={many}>
        <header className="head">
          <h2>{many}</h2>
          <PlaceLink className="button" to={{ ...place, id: 'new', by: null }}>
            New {one.toLowerCase()}
          </PlaceLink>
        </header>
        <RecordList entity={entity} />
      </section>
      {place.id === 'new' && <NewRecordPanel key={`new ${place.by?.id ?? ''}`} entity={entity} />}
      {place.id !== null && place.id !== 'new' && <RecordPanel entity={entity} id={place.id} />}
    </div>
  );
}
