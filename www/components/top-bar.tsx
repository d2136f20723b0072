'use client';
/** Which practice, whether there is a network, and how the last sync went. */
import { practices } from '@/lib/clinic';
import { usePlace } from '@/lib/place';
import { usePractice, useSnapshot } from '@/lib/use-practice';
import { PlaceLink } from './place-link';
import { SyncPanel } from './sync-panel';

export function TopBar() {
  return (
    <header className="bar">
      <div className="brand">
        <svg viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">
          <g fill="currentColor">
            <ellipse cx="16" cy="21" rx="7" ry="6" />
            <ellipse cx="7" cy="15" rx="3" ry="4" />
            <ellipse cx="25" cy="15" rx="3" ry="4" />
            <ellipse cx="12.2" cy="8.5" rx="3" ry="4.2" />
            <ellipse cx="19.8" cy="8.5" rx="3" ry="4.2" />
          </g>
        </svg>
        <h1>Clinic</h1>
      </div>
      <PracticeSwitch />
      <div className="spacer" />
      <OfflineSwitch />
      <SyncPanel />
    </header>
  );
}

function PracticeSwitch() {
  const { practice, view } = usePlace();
  return (
    <nav className="segments" aria-label="Practice">
      {practices.map(({ tenant, name }) => (
        <PlaceLink key={tenant} to={{ practice: tenant, view, id: null, by: null }} current={tenant === practice}>
          {name}
        </PlaceLink>
      ))}
    </nav>
  );
}

function OfflineSwitch() {
  const store = usePractice();
  const offline = useSnapshot((snapshot) => snapshot.offline);
  const ready = useSnapshot((snapshot) => snapshot.phase === 'open');
  return (
    <button
      type="button"
      className="switch"
      role="switch"
      aria-checked={offline}
      disabled={!ready}
      onClick={() => store.setOffline(!offline)}
    >
      <span className="track" aria-hidden="true" />
      Work offline
    </button>
  );
}
