/** The state of a record or an operation: a word and a colour, never a colour alone. */
const TONES: Record<string, 'quiet' | 'busy' | 'warning' | 'danger'> = {
  synced: 'quiet',
  pending: 'busy',
  syncing: 'busy',
  acknowledged: 'quiet',
  blocked: 'warning',
  failed: 'warning',
  conflict: 'danger',
  parked: 'danger',
  open: 'danger',
  resolved: 'quiet',
  undone: 'warning',
};

export function StateBadge({ state }: { state: string }) {
  return (
    <span className="badge" data-tone={TONES[state] ?? 'quiet'}>
      {state}
    </span>
  );
}
