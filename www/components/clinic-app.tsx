'use client';
/** The app: the bar above, the views beside, and what the chosen view shows. One store per practice, one at a time. */
import { useEffect, useMemo } from 'react';
import { practices } from '@/lib/clinic';
import { descriptions } from '@/lib/entities';
import { usePlace, type View } from '@/lib/place';
import { PracticeStore } from '@/lib/store';
import { PracticeContext, usePractice, useSnapshot } from '@/lib/use-practice';
import { ConflictsView } from './conflicts-view';
import { EntityView } from './entity-view';
import { Navigation } from './navigation';
import { Notice } from './notice';
import { QueueView } from './queue-view';
import { TopBar } from './top-bar';

export function ClinicApp() {
  const { practice: tenant } = usePlace();
  const store = useMemo(() => {
    const practice = practices.find((each) => each.tenant === tenant);
    if (!practice) throw new Error(`no practice ${tenant}`);
    return new PracticeStore(practice);
  }, [tenant]);
  useEffect(() => store.start(), [store]);
  return (
    <PracticeContext value={store}>
      <div className="app" data-practice={practices.indexOf(store.practice)}>
        <a className="skip" href="#main">
          Skip to content
        </a>
        <TopBar />
        <Navigation />
        <main id="main" tabIndex={-1}>
          <Main />
        </main>
      </div>
    </PracticeContext>
  );
}

function Main() {
  const { view } = usePlace();
  const { practice } = usePractice();
  const trouble = useSnapshot(({ status }) => {
    // Whoever went offline in the middle of a sync has stopped it: that is no trouble.
    const wanted = status?.offline && status.lastError?.code === 'aborted';
    return status?.state === 'error' && !wanted ? status.lastError : null;
  });
  const phase = useSnapshot((snapshot) => snapshot.phase);
  const error = useSnapshot((snapshot) => snapshot.error);
  const outdated = useSnapshot((snapshot) => snapshot.outdated);
  useEffect(() => {
    document.title = `${viewName(view)} · ${practice.name} · Clinic`;
  }, [view, practice]);
  if (phase === 'opening') {
    return (
      <p className="opening" role="status">
        Opening the practice…
      </p>
    );
  }
  return (
    <>
      {outdated && (
        <Notice tone="warning">A newer version of this app is open elsewhere. Reload this page to save.</Notice>
      )}
      {error && (
        <Notice tone="danger">
          {error.message} <code>{error.code}</code>
        </Notice>
      )}
      {trouble && (
        <Notice tone="warning">
          The last sync failed: {trouble.message} <code>{trouble.code}</code>. What you saved is kept and sent later.
        </Notice>
      )}
      {phase === 'open' &&
        (view === 'queue' ? (
          <QueueView />
        ) : view === 'conflicts' ? (
          <ConflictsView />
        ) : (
          <EntityView key={view} entity={view} />
        ))}
    </>
  );
}

function viewName(view: View): string {
  if (view === 'queue') return 'Queue';
  return view === 'conflicts' ? 'Conflicts' : descriptions[view].many;
}
