/** Brings tokens to the client. They live in memory for a minute, and nowhere else. */
import type { Identity, TokenProvider } from 'fieldsync';

/** Shorter than a token lives, so that none is sent that has ended. */
const HOLD_MS = 60_000;

export function tokenProvider(): TokenProvider {
  let held: { token: string; until: number } | undefined;
  return async ({ tenant, user, refresh }: Identity) => {
    if (held && !refresh && Date.now() < held.until) return held.token;
    try {
      const answer = await fetch('/api/token', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ tenant, user }),
      });
      if (!answer.ok) return null;
      const { token } = (await answer.json()) as { token: string };
      held = { token, until: Date.now() + HOLD_MS };
      return token;
    } catch {
      return null; // "not now": there is no way to the app's own server either
    }
  };
}
