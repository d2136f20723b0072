'use client';
/** The views: the five kinds of records, what waits to be sent, and what collided. */
import { descriptions, entities } from '@/lib/entities';
import { usePlace, type View } from '@/lib/place';
import { useSnapshot } from '@/lib/use-practice';
import { PlaceLink } from './place-link';

export function Navigation() {
  const place = usePlace();
  const records = useSnapshot((snapshot) => snapshot.records);
  const waiting = useSnapshot((snapshot) => snapshot.queue.length);
  const conflicts = useSnapshot((snapshot) => snapshot.conflicts.filter(({ state }) => state === 'open').length);
  const item = (view: View, label: string, count: number, alerting = false) => (
    <li key={view}>
      <PlaceLink to={{ ...place, view, id: null, by: null }} current={place.view === view}>
        <span>{label}</span>
        <span className="count" data-alerting={alerting && count > 0}>
          {count}
        </span>
      </PlaceLink>
    </li>
  );
  return (
    <nav className="views" aria-label="Views">
      <ul>
        {entities.map((entity) => item(entity, descriptions[entity].many, records[entity].length))}
        <li className="divider" aria-hidden="true" />
        {item('queue', 'Queue', waiting, true)}
        {item('conflicts', 'Conflicts', conflicts, true)}
      </ul>
    </nav>
  );
}
