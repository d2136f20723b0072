/**
 * Tokens for the demo, and for the demo only: it gives one to whoever asks. A real app issues tokens after its own
 * sign-in, on its own server, for the user who signed in.
 */
import { createHmac } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import practices from '@/practices.json';

const LIFETIME_SECONDS = 15 * 60;
const USER = /^[a-z0-9._-]{1,64}$/i;

export async function POST(request: Request): Promise<Response> {
  const asked: unknown = await request.json().catch(() => null);
  const { tenant, user } = (asked ?? {}) as { tenant?: unknown; user?: unknown };
  if (!practices.some((practice) => practice.tenant === tenant) || typeof user !== 'string' || !USER.test(user)) {
    return problem(422, 'invalid_request', 'Name a practice and a user.');
  }
  const keyFile = process.env.FIELDSYNC_KEY_FILE;
  if (!keyFile) return problem(503, 'no_key', 'The app was started without FIELDSYNC_KEY_FILE.');
  const key = await readFile(keyFile, 'utf8').then((text) => text.trim());
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    sub: user,
    tenant,
    iat: now,
    exp: now + LIFETIME_SECONDS,
    iss: 'fieldsync',
    aud: 'fieldsync-sync',
  };
  return Response.json({ token: sign(claims, key) }, { headers: { 'Cache-Control': 'no-store' } });
}

function sign(claims: object, key: string): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${signed}.${createHmac('sha256', key).update(signed).digest('base64url')}`;
}

function problem(status: number, code: string, message: string): Response {
  return Response.json({ code, message }, { status, headers: { 'Cache-Control': 'no-store' } });
}
