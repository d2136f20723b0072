'use client';
/** The state of the sync in a few words, its progress while it runs, and the button that starts it. */
import type { SyncProgress, SyncStatus } from 'fieldsync';
import { shownTime } from '@/lib/entities';
import { usePractice, useSnapshot } from '@/lib/use-practice';

export function SyncPanel() {
  const store = usePractice();
  const status = useSnapshot((snapshot) => snapshot.status);
  const progress = useSnapshot((snapshot) => snapshot.progress);
  const offline = useSnapshot((snapshot) => snapshot.offline);
  const syncing = status?.state === 'syncing';
  const { tone, words } = summary(status, progress, offline);
  return (
    <div className="sync">
      <p className="pill" data-tone={tone} role="status" title={hint(status)}>
        <span className="dot" aria-hidden="true" />
        {words}
      </p>
      <button
        type="button"
        className="primary"
        disabled={!status || syncing || offline}
        onClick={() => void store.sync().catch(() => undefined)}
      >
        Sync now
      </button>
      {syncing && <Progress progress={progress} />}
    </div>
  );
}

const PHASES: Record<SyncProgress['phase'], string> = {
  initialize: 'Connecting',
  upload: 'Sending',
  download: 'Receiving',
  finalize: 'Finishing',
};

function Progress({ progress }: { progress: SyncProgress | null }) {
  const known = progress !== null && progress.total > 0;
  return (
    <progress
      className="progress"
      aria-label="Sync"
      aria-valuetext={phaseWords(progress)}
      value={known ? Math.min(progress.done, progress.total) : undefined}
      max={known ? progress.total : undefined}
    />
  );
}

function phaseWords(progress: SyncProgress | null): string {
  if (!progress) return PHASES.initialize;
  const { phase, done, total } = progress;
  return total > 0 ? `${PHASES[phase]} ${done} of ${total}` : PHASES[phase];
}

function summary(
  status: SyncStatus | null,
  progress: SyncProgress | null,
  offline: boolean,
): { tone: string; words: string } {
  if (!status) return { tone: 'quiet', words: 'Opening' };
  const waiting = status.pending > 0 ? `, ${status.pending} to send` : '';
  if (offline || status.connectivity === 'offline') return { tone: 'warning', words: `Offline${waiting}` };
  if (status.state === 'syncing') return { tone: 'busy', words: phaseWords(progress) };
  if (status.parked > 0 || status.conflicts > 0) return { tone: 'danger', words: `Needs a look${waiting}` };
  if (status.state === 'error') return { tone: 'danger', words: `Sync failed${waiting}` };
  if (status.pending > 0) return { tone: 'busy', words: `${status.pending} to send` };
  return { tone: 'good', words: status.lastSync === null ? 'Not synced yet' : 'Up to date' };
}

function hint(status: SyncStatus | null): string | undefined {
  if (!status) return undefined;
  if (status.lastError) return `${status.lastError.message} (${status.lastError.code})`;
  return status.lastSync === null ? undefined : `Last sync ${shownTime(status.lastSync)}`;
}
